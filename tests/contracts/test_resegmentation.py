"""No driver is lost while segments are cut anew, whichever host has heard of it and however pings come."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field

import pytest

from core.geo import LatLng, haversine_m
from location.adapters.memory import MemorySupply
from location.adapters.redis import RedisSupply
from location.live import LiveDrivers
from location.messages import Position
from location.ports import SupplyStore
from location.supply import Supply
from maps.adapters.memory import MemorySegments
from maps.knownsegments import KnownSegments
from maps.segmentdesk import SegmentDesk
from maps.segments import resolution_of
from runtime.clocks import ManualClock
from runtime.segment_settings import SegmentSettings
from tests.contracts.conftest import RedisOf
from tests.location.moves import move

SETTINGS = SegmentSettings(switch_s=4.0, versions_max=100)
CENTRE = LatLng(57.7041, 11.9697)
WITHIN_M = 3_000.0
DRIVERS = 60
STEPS = 160
KINDS = ["memory", "embedded", pytest.param("redis", marks=pytest.mark.slow)]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, redis_of: RedisOf) -> SupplyStore:
    return MemorySupply() if request.param == "memory" else RedisSupply(await redis_of(request.param))


@dataclass
class Host:
    """A process: it knows the segments in its own time, and has drivers or looks for some."""

    desk: SegmentDesk
    supply: Supply
    drivers: list[str] = field(default_factory=list)

    @property
    def live(self) -> LiveDrivers:
        return self.supply.live


class Cluster:
    """Two gateways and a reader that share a table and a supply; `seconds` is the time of all of them."""

    def __init__(self, store: SupplyStore, rng: random.Random) -> None:
        self.store, self.rng, self.seconds = store, rng, 100.0
        self.tables, self.clock = MemorySegments(), ManualClock()
        self.gateways = [self.host(), self.host()]
        self.reader = self.host()
        self.seq = itertools.count(1)

    def host(self) -> Host:
        known, live = KnownSegments(SETTINGS, lambda: self.seconds), LiveDrivers()
        known.on_switch(live.place_again)
        desk = SegmentDesk(self.tables, known, self.clock)
        return Host(desk, Supply(live, self.store, self.clock, fresh_s=1e9))

    def ping(self, host: Host, driver_id: str) -> None:
        """Somewhere within reach of the centre, often on the other side of a border."""
        place = LatLng(CENTRE.lat + self.rng.uniform(-0.012, 0.012), CENTRE.lng + self.rng.uniform(-0.02, 0.02))
        assert haversine_m(place, CENTRE) < WITHIN_M
        ping = Position(seq=next(self.seq), ts=int(self.clock.now() * 1000), lat=place.lat, lng=place.lng)
        move(host.live, host.live.driver(driver_id), ping, host.desk.known.locate(*place), self.clock.now())

    async def appear(self) -> None:
        for number in range(DRIVERS):
            host, driver_id = self.gateways[number % 2], f"drv_{number}"
            host.drivers.append(driver_id)
            host.live.set_online(driver_id, True, self.clock.now())
            driver = host.live.driver(driver_id)
            driver.connected = True
            host.live.own(driver_id, 1)
            self.ping(host, driver_id)
        for host in self.gateways:
            await host.supply.flush()

    async def cut(self) -> None:
        """An operator splits or merges the segment of a random place."""
        await self.reader.desk.refresh()
        place = CENTRE.lat + self.rng.uniform(-0.012, 0.012), CENTRE.lng + self.rng.uniform(-0.02, 0.02)
        segment = self.reader.desk.newest.locate(*place)
        resolution = resolution_of(segment)
        if resolution == 7 or (resolution < 10 and self.rng.random() < 0.6):
            await self.reader.desk.split(segment)
        else:
            await self.reader.desk.merge(segment)

    async def found(self) -> list[str]:
        """Everybody whom a look around the centre finds, as dispatch reads."""
        desk = self.reader.desk
        await desk.sure()
        rings = desk.around(desk.at(CENTRE), WITHIN_M).rings(CENTRE, 500.0, WITHIN_M)
        rows = [await self.store.in_segments(ring.cells) for ring in rings]
        return [driver_id for each in rows for driver_id in each.driver_ids]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_driver_is_found_at_every_moment_while_segments_are_cut_and_pings_come(
    store: SupplyStore, seed: int
) -> None:
    rng = random.Random(seed)
    cluster = Cluster(store, rng)
    await cluster.appear()
    everybody = {f"drv_{number}" for number in range(DRIVERS)}
    switched = 0
    for step in range(STEPS):
        cluster.seconds += rng.uniform(0.0, 1.0)
        await cluster.clock.advance(0.5, settle_s=0.0)
        if step % 8 == 0:
            await cluster.cut()
        pinged: set[str] = set()
        for host in cluster.gateways:
            before = host.desk.known.placing.version
            if rng.random() < 0.3:  # it hears of a new table late, and not at the same moment as others
                await host.desk.refresh()
            switched += host.desk.known.placing.version != before
            for driver_id in rng.sample(host.drivers, 8):
                cluster.ping(host, driver_id)
                pinged.add(driver_id)
        flushes = [asyncio.ensure_future(host.supply.flush()) for host in cluster.gateways]
        # a cab that has just crossed the town may be missed by a look that reads ring by ring; one that stays may not
        assert set(await cluster.found()) >= everybody - pinged, f"seed {seed}, step {step}: while the gateways write"
        await asyncio.gather(*flushes)
        assert set(await cluster.found()) >= everybody, f"seed {seed}, step {step}"
    assert switched > 5, "the tables were used"
    versions = {host.desk.known.placing.version for host in cluster.gateways}
    assert max(versions) > 5


async def test_after_the_switch_each_driver_stands_in_the_segment_of_the_new_table(store: SupplyStore) -> None:
    cluster = Cluster(store, random.Random(4))
    await cluster.appear()
    await cluster.cut()
    segment = cluster.reader.desk.newest.locate(*CENTRE)
    await cluster.reader.desk.split(segment)
    for seconds in (0.0, 4.1):
        cluster.seconds += seconds
        for host in cluster.gateways:
            await host.desk.refresh()
            await host.supply.flush()
    table = cluster.reader.desk.newest
    rows = await cluster.store.in_segments(await cluster.store.occupied())
    assert sorted(rows.driver_ids) == sorted(f"drv_{number}" for number in range(DRIVERS))
    assert rows.segment.tolist() == table.locate_many(rows.lat, rows.lng).tolist()
