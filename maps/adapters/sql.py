"""Changed zones in SQL. Every commit has a version of its own: its row is locked first, so writers take turns."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from core.errors import Conflict
from core.events import ZonesChanged
from maps.adapters.versions import next_version, version_of
from maps.ports import ZoneChanges
from maps.zonejson import feature_of, read_zones
from maps.zones import Zone
from runtime.settings import MapSettings
from runtime.sql import Database, Transaction, metadata

zones = sa.Table(
    "zones",
    metadata,
    sa.Column("zone_id", sa.String(40), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),  # in which it was changed last
    sa.Column("feature", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")),  # NULL: removed
    sa.Column("changed_at", sa.Double, nullable=False),
)
_NAME = "zones"
_STORED = MapSettings(zone_vertices=10**9, zone_pickup_points=10**9, zone_max_surge=1e9)  # checked when it was saved


class SqlZones:
    """The ZoneStore port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        return await version_of(self._database, _NAME)

    async def load(self) -> ZoneChanges:
        version = await self.version()  # first: what is committed meanwhile is then found by the next look
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(zones.c.zone_id, zones.c.feature))).all()
        return ZoneChanges(version, {row.zone_id: _zone(row.feature) for row in rows})

    async def save(self, changes: Mapping[str, Zone | None], at: float) -> int:
        async def work(tx: Transaction) -> int:
            version = await next_version(tx, _NAME)
            for zone_id, zone in changes.items():
                await _put(tx, zone_id, zone, {"version": version, "changed_at": at})
            tx.publish(ZonesChanged(id=f"zones:{version}", at=at, version=version))
            return version

        try:
            return await self._database.repeated(work)
        except Conflict:  # two wanted to be the first ever
            return await self._database.repeated(work)


def _zone(feature: str | None) -> Zone | None:
    return None if feature is None else read_zones(msgspec.json.decode(feature), _STORED)[0]


async def _put(tx: Transaction, zone_id: str, zone: Zone | None, values: dict[str, float]) -> None:
    feature = None if zone is None else msgspec.json.encode(feature_of(zone)).decode()
    changed = await tx.connection.execute(
        sa.update(zones).where(zones.c.zone_id == zone_id).values(feature=feature, **values)
    )
    if not changed.rowcount:
        await tx.connection.execute(sa.insert(zones).values(zone_id=zone_id, feature=feature, **values))
