"""A gateway on a real Cassandra that pauses and dies: nothing that was acknowledged is lost, and nobody is held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from location.adapters.cassandra import TABLES, CassandraTrail
from runtime.clocks import ManualClock
from runtime.services.manager import Services
from runtime.settings import LocationSettings
from tests.location.conftest import QUICK, App, Street
from tests.servers.engines import PATIENT_S, OwnCassandra, cassandra_session, cassandra_settings

pytestmark = pytest.mark.slow

AWAY_S = 3.0  # of wall time; the driver has to notice, and to give up on what is on its way


@pytest.fixture
async def own(new_servers: Callable[[], Services]) -> OwnCassandra:
    own = OwnCassandra(new_servers())
    await own.up()
    return own


@pytest.fixture
async def street(
    own: OwnCassandra, clock: ManualClock, location_settings: LocationSettings
) -> AsyncIterator[tuple[Street, CassandraTrail]]:
    settings = cassandra_settings(
        own.address, "outage", request_timeout_s=1.5, connect_timeout_s=1.5, reconnect_s=0.2, max_reconnect_s=1.0
    )
    async with cassandra_session(settings, TABLES) as cassandra:
        street = Street(clock, location_settings)
        street.trail = trail = CassandraTrail(cassandra, clock, 86_400.0)  # type: ignore[assignment]
        street.gateway = street.new_gateway()
        await street.gateway.start()
        try:
            yield street, trail
        finally:
            await street.gateway.close()


async def acked_in_the_end(app: App, seq: int) -> None:
    async with asyncio.timeout(PATIENT_S):
        while True:
            try:
                await app.acked(seq)
                return
            except TimeoutError:
                continue


async def test_pings_of_a_trip_wait_out_a_pause_and_a_kill_and_nobody_else_notices(
    own: OwnCassandra, street: tuple[Street, CassandraTrail]
) -> None:
    here, trail = street
    here.supply.set_busy("drv_1", "trip_1")
    async with here.app("drv_1") as riding, here.app("drv_2") as idle:
        await riding.say("pings", items=[here.at(seq) for seq in range(1, 21)])
        await acked_in_the_end(riding, 20)

        for last, take, give_back in ((40, own.pause, resume), (60, own.kill, restart)):
            take()
            await riding.say("pings", items=[here.at(seq) for seq in range(last - 19, last + 1)])
            await idle.say("pings", items=[here.at(seq) for seq in range(last - 19, last + 1)])
            await idle.acked(last)
            await asyncio.sleep(AWAY_S)
            await riding.say("arrive", trip_id=f"trip_{last}")
            await riding.say("complete", trip_id=f"trip_{last}")
            await here.until(lambda trip_id=f"trip_{last}": ("complete", "drv_1", trip_id) in here.desk.calls)
            async with here.app("drv_3") as new:
                await new.say("ping", **here.at(1))
                await new.acked(1)
            assert here.live.driver("drv_1").safe_seq == last - 20, "nothing is acknowledged that is not durable"
            assert here.gateway.counts().trail_away
            await give_back(own)
            await acked_in_the_end(riding, last)
        assert here.gateway.counts().idle_pings_lost == 0
    assert here.live.undurable == {}
    assert (await trail.of_trip("trip_1")).seq.tolist() == list(range(1, 61))
    async with here.app("drv_1", welcome=False) as again:
        assert (await again.hear("welcome"))["last_seq"] == 60


async def resume(own: OwnCassandra) -> None:
    own.go_on()


async def restart(own: OwnCassandra) -> None:
    await own.up()


class TestShortQueue:
    @pytest.fixture
    def location_settings(self) -> LocationSettings:
        return msgspec.structs.replace(QUICK, trail_queue=30)

    async def test_beyond_the_queue_drivers_keep_their_pings_and_idle_ones_are_counted(
        self, own: OwnCassandra, street: tuple[Street, CassandraTrail]
    ) -> None:
        here, trail = street
        here.supply.set_busy("drv_1", "trip_1")
        own.pause()
        pings: list[dict[str, Any]] = [here.at(seq) for seq in range(1, 61)]
        async with here.app("drv_2") as idle:
            await idle.say("pings", items=pings)
            await idle.acked(60)
        assert here.gateway.counts().idle_pings_lost == 30
        async with here.app("drv_1") as riding:
            await riding.say("pings", items=pings)
            assert await riding.closed() == 1013
        assert here.gateway.counts().trip_pings_refused == 1
        own.go_on()
        async with asyncio.timeout(PATIENT_S):
            while here.gateway.counts().pings_waiting:
                await asyncio.sleep(0.1)
        async with here.app("drv_1", welcome=False) as riding:
            after = (await riding.hear("welcome"))["last_seq"]
            for seq in range(after + 1, 61):
                await riding.say("ping", **here.at(seq))
                if seq % 20 == 0:
                    await acked_in_the_end(riding, seq)
        assert (await trail.of_trip("trip_1")).seq.tolist() == list(range(1, 61))
