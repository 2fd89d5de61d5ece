"""Rows on their way into batches, by the nodes that own them.

A batch is not for atomicity here: it saves what a statement costs on both sides. All its rows belong to the same
replicas, one of which is asked, so that no node has to pass on what is not its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from cassandra.query import BatchStatement, BatchType

from runtime.cassandra_settings import CassandraSettings

_PARTITIONS = 10  # servers warn of batches that touch more


def unlogged(rows: Sequence[Any]) -> Any:
    """One batch of bound rows."""
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.is_idempotent = True
    for row in rows:
        batch.add(row)
    return batch


async def packed(
    rows: AsyncIterator[Any],
    session: Any,
    settings: CassandraSettings,
    batch: Callable[[Sequence[Any]], Any] = unlogged,
) -> AsyncIterator[Any]:
    """Statements that write these bound rows, each as soon as it is full; a row that stands alone is one itself."""
    owners_of, keyspace = session.cluster.metadata.get_replicas, settings.keyspace
    packs: dict[tuple[str, ...], _Pack] = {}
    async for row in rows:
        owners = tuple(host.address for host in owners_of(keyspace, row.routing_key))
        size = sum(len(value) for value in row.values if isinstance(value, bytes))
        pack = packs.get(owners)
        if pack is not None and not pack.has_room(row, size, settings):
            yield pack.statement(batch)
            pack = None
        if pack is None:
            pack = packs[owners] = _Pack()
        pack.add(row, size)
    for pack in packs.values():
        yield pack.statement(batch)


class _Pack:
    """The rows of one statement."""

    def __init__(self) -> None:
        self._rows: list[Any] = []
        self._partitions: set[bytes] = set()
        self._bytes = 0

    def has_room(self, row: Any, size: int, settings: CassandraSettings) -> bool:
        return (
            len(self._rows) < settings.batch_rows
            and self._bytes + size <= settings.batch_bytes
            and (len(self._partitions) < _PARTITIONS or row.routing_key in self._partitions)
        )

    def add(self, row: Any, size: int) -> None:
        self._rows.append(row)
        self._partitions.add(row.routing_key)
        self._bytes += size

    def statement(self, batch: Callable[[Sequence[Any]], Any]) -> Any:
        return self._rows[0] if len(self._rows) == 1 else batch(self._rows)
