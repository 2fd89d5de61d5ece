"""Rows on their way into batches, by the nodes that own them.

A batch is not for atomicity here: it saves what a statement costs on both sides. All its rows belong to the same
replicas, one of which is asked, so that no node has to pass on what is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cassandra.query import BatchStatement, BatchType, BoundStatement

from runtime.cassandra.tables import UNSET
from runtime.cassandra_settings import CassandraSettings

_PARTITIONS = 10  # servers warn of batches that touch more


def bound(prepared: Any, values: Sequence[object]) -> Any:
    """A row to write. As the driver binds it, at half the cost: it looks at each value for a column to encrypt."""
    row = BoundStatement(prepared)
    version = prepared.protocol_version
    row.values = [
        value if value is None or value is UNSET else column.type.serialize(value, version)
        for value, column in zip(values, prepared.column_metadata, strict=True)
    ]
    return row


def unlogged(rows: Sequence[Any]) -> Any:
    """One batch of bound rows."""
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.is_idempotent = True
    for row in rows:
        batch.add(row)
    return batch


class Packer:
    """Gathers bound rows into statements; a row that stands alone is one itself."""

    def __init__(
        self, session: Any, settings: CassandraSettings, batch: Callable[[Sequence[Any]], Any] = unlogged
    ) -> None:
        self._owners_of = session.cluster.metadata.get_replicas
        self._settings = settings
        self._batch = batch
        self._packs: dict[tuple[str, ...], _Pack] = {}

    def add(self, row: Any) -> Any | None:
        """Take a row; gives the statement that it found no room in, which is full."""
        key = row.routing_key
        owners = tuple([host.address for host in self._owners_of(self._settings.keyspace, key)])
        size = 0
        for value in row.values:
            if value is not None and value is not UNSET:
                size += len(value)
        pack, full = self._packs.get(owners), None
        if pack is not None and not pack.has_room(key, size, self._settings):
            full, pack = pack.statement(self._batch), None
        if pack is None:
            pack = self._packs[owners] = _Pack()
        pack.add(row, key, size)
        return full

    def rest(self) -> Iterable[Any]:
        """The statements that are not full, at the end."""
        return [pack.statement(self._batch) for pack in self._packs.values()]


class _Pack:
    """The rows of one statement."""

    def __init__(self) -> None:
        self._rows: list[Any] = []
        self._partitions: set[bytes] = set()
        self._bytes = 0

    def has_room(self, key: bytes, size: int, settings: CassandraSettings) -> bool:
        return (
            len(self._rows) < settings.batch_rows
            and self._bytes + size <= settings.batch_bytes
            and (len(self._partitions) < _PARTITIONS or key in self._partitions)
        )

    def add(self, row: Any, key: bytes, size: int) -> None:
        self._rows.append(row)
        self._partitions.add(key)
        self._bytes += size

    def statement(self, batch: Callable[[Sequence[Any]], Any]) -> Any:
        return self._rows[0] if len(self._rows) == 1 else batch(self._rows)
