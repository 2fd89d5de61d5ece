"""The segments of a process: known here, kept in SQL, cut by supply and demand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from app.stores import Stores
from core.clock import Clock
from dispatch.service import RideDesk
from location.live import LiveDrivers
from location.ports import SupplyStore
from maps.adapters.segments_sql import SqlSegments
from maps.cities import City
from maps.knownsegments import KnownSegments
from maps.segmentdesk import SegmentDesk
from maps.segmentkeeper import SegmentKeeper
from maps.segments import coarsest_of_box, parse
from runtime.lease import Lease
from runtime.segment_settings import SegmentSettings
from runtime.sql import Database


def segment_desk(database: Database, live: LiveDrivers, wall: Clock, settings: SegmentSettings) -> SegmentDesk:
    """The desk, which places the drivers of this process anew when the table says so."""
    known = KnownSegments(settings, time.monotonic)
    known.on_switch(live.place_again)
    return SegmentDesk(SqlSegments(database, settings), known, wall)


def segment_keeper(
    desk: SegmentDesk, city: City, stores: Stores, rides: RideDesk, settings: SegmentSettings
) -> SegmentKeeper:
    """The keeper of a process, which works while no other one does."""
    lease = Lease(stores.databases.trips, "segments", stores.owner)
    return SegmentKeeper(desk, Load(stores.supply, rides), coarsest_of_box(city.bounds), lease, settings)


class Load:
    """maps' LoadOf: drivers in the supply, and open requests."""

    def __init__(self, supply: SupplyStore, rides: RideDesk) -> None:
        self._supply = supply
        self._rides = rides

    async def __call__(self) -> Mapping[int, int]:
        occupied = await self._supply.occupied()
        load = Counter(dict(zip(occupied, await self._supply.count(occupied), strict=True)))
        for name, count in (await self._rides.demand()).items():
            load[parse(name)] += count
        return load
