"""Tables of segments in SQL: one row a version, and the primary key is the compare-and-set."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from core.errors import Conflict, TooMany
from core.events import SegmentsChanged
from maps.segments import name, parse
from maps.segmenttable import FIRST_VERSION, SegmentTable
from runtime.segment_settings import SegmentSettings
from runtime.sql import Database, Transaction, metadata, unique

segment_tables = sa.Table(
    "segment_tables",
    metadata,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
    sa.Column("made_at", sa.Double, nullable=False),  # real time: the version before is replaced since then
)

_FIRST = SegmentTable()


class _Body(msgspec.Struct):
    split: list[str]
    merged: list[str]
    pins: list[str]


class SqlSegments:
    """The SegmentStore port. The first version has no row until there is a second one."""

    def __init__(self, database: Database, settings: SegmentSettings) -> None:
        self._database = database
        self._settings = settings

    async def version(self) -> int:
        async with self._database.reading() as connection:
            newest = (await connection.execute(sa.select(sa.func.max(segment_tables.c.version)))).scalar()
        return FIRST_VERSION if newest is None else int(newest)

    async def load(self) -> Sequence[SegmentTable]:
        query = sa.select(segment_tables).order_by(segment_tables.c.version.desc())
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return [_table(row.version, row.body) for row in rows] or [_FIRST]

    async def save(self, table: SegmentTable, at: float) -> None:
        async def work(tx: Transaction) -> None:
            standing = await self._standing(tx, at)
            if table.version != (max(standing) if standing else FIRST_VERSION) + 1:
                raise _changed()
            if len(standing) >= self._settings.versions_max:
                detail = f"segments were changed {len(standing)} times in a short time"
                raise TooMany(detail, retry_after_s=self._settings.retire_s, code="segments_busy")
            new = [_row(table, at)] if standing else [_row(_FIRST, 0.0), _row(table, at)]
            with unique(segment_tables, {"version": _changed()}):
                await tx.connection.execute(sa.insert(segment_tables), new)
            tx.publish(SegmentsChanged(id=f"segments:{table.version}", at=at, version=table.version))

        await self._database.repeated(work)

    async def _standing(self, tx: Transaction, at: float) -> list[int]:
        """The versions that stand, after those are forgotten that were replaced long enough ago."""
        query = sa.select(segment_tables.c.version, segment_tables.c.made_at).order_by(segment_tables.c.version)
        rows = (await tx.connection.execute(query)).all()
        retired = at - self._settings.retire_s
        # a version was replaced when the one after it was made
        old = [row.version for row, after in itertools.pairwise(rows) if after.made_at < retired]
        if old:
            await tx.connection.execute(sa.delete(segment_tables).where(segment_tables.c.version.in_(old)))
        return [row.version for row in rows if row.version not in old]


def _changed() -> Conflict:
    return Conflict("somebody else has changed the segments at this moment", code="segments_changed")


def _row(table: SegmentTable, at: float) -> dict[str, object]:
    body = _Body(_names(table.split), _names(table.merged), _names(table.pins))
    return {"version": table.version, "body": msgspec.json.encode(body).decode(), "made_at": at}


def _names(cells: Iterable[int]) -> list[str]:
    return [name(cell) for cell in sorted(cells)]


def _table(version: int, stored: str) -> SegmentTable:
    body = msgspec.json.decode(stored, type=_Body)
    split, merged, pins = (frozenset(map(parse, names)) for names in (body.split, body.merged, body.pins))
    return SegmentTable(int(version), split, merged, pins)
