"""Real Redis servers that are paused, killed, emptied or lose a master, under two gateways with connected drivers.

Whatever happens: connections stay, acks go on, and once Redis answers again supply and presence are whole without any
ping or any operator.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from core.errors import Unavailable
from location.adapters.redis import RedisSupply
from location.ports import SupplyStore
from maps.segments import segment_of
from runtime.clocks import ManualClock
from runtime.host_calls import HostCalls
from runtime.host_settings import HostSettings
from runtime.hosts import HostServer
from runtime.presence import Host, Presence, Subject
from runtime.redis import connect
from runtime.redis_presence import RedisPresence
from runtime.redis_settings import RedisSettings
from runtime.redis_watch import RedisWatch
from runtime.roll import Roll
from runtime.router import Router, answer_calls
from runtime.tasks import repeat
from tests.location.conftest import QUICK, App, Street
from tests.redis_servers import RealCluster, RealRedis, real_cluster, real_redis

pytestmark = pytest.mark.slow

TOKEN = "t" * 64
DRIVERS = 40
HERE = segment_of(57.7, 11.97)
HOSTS = HostSettings(beat_s=0.1, host_expires_s=30.0, presence_wait_s=0.3, presence_batch=7)
REDIS = RedisSettings(timeout_s=0.3, connect_timeout_s=0.3, deadline_s=1.0, retries=2, look_every_s=0.1)


class RedisHost:
    """A gateway with everything that a host of a cluster has around it."""

    def __init__(self, name: str, clock: ManualClock, url: str) -> None:
        self.client = connect(msgspec.structs.replace(REDIS, url=url))
        self.presence: Presence = RedisPresence(self.client, HOSTS.presence_keep_s)
        self.store: SupplyStore = RedisSupply(self.client)
        self.server = HostServer(HOSTS, TOKEN, {}, CollectorRegistry())
        self.host = Host(name, self.server.address)
        self.calls = HostCalls(TOKEN, HOSTS)
        self.router = Router(self.host, self.presence, self.calls, HOSTS)
        self.roll = Roll(self.presence, self.host, self.router.lost, HOSTS, random.Random(1))
        self.street = Street(clock, QUICK, store=self.store, roll=self.roll.of("driver"))
        answer_calls(self.server, self)
        self.watch = RedisWatch(self.client, name)
        self.watch.on_loss(self.street.live.tell_again)
        self.watch.on_loss(self.roll.tell_again)
        self._tasks: list[asyncio.Task[None]] = []

    def deliver(self, driver_id: str, message: dict[str, object]) -> bool:
        return self.street.gateway.deliver(driver_id, message)

    def tell_rider(self, rider_id: str, message: dict[str, object]) -> bool:
        return False

    def lost(self, driver_id: str, epoch: int) -> None:
        self.street.gateway.lost(driver_id, epoch)

    async def start(self) -> None:
        self.server.start()
        await self.street.gateway.start()
        self._tasks = [
            asyncio.create_task(self.roll.run()),
            asyncio.create_task(repeat(self.roll.beat, HOSTS.beat_s, asyncio.sleep)),
            asyncio.create_task(repeat(self.watch.look, REDIS.look_every_s, asyncio.sleep)),
        ]

    async def stop(self) -> None:
        await self.street.gateway.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.roll.close()
        await self.calls.close()
        await self.server.close()
        await self.client.aclose()


class Scene:
    """Two hosts, and drivers who hang on them."""

    def __init__(self, hosts: tuple[RedisHost, RedisHost], stack: contextlib.AsyncExitStack) -> None:
        self.hosts = hosts
        self.apps: dict[str, tuple[RedisHost, App]] = {}
        self._stack = stack

    async def connect(self, driver_id: str, host: RedisHost) -> None:
        app = await self._stack.enter_async_context(host.street.app(driver_id))
        self.apps[driver_id] = (host, app)
        await app.say("status", online=True)
        await app.say("ping", **host.street.at(1))
        await app.acked(1)

    async def whole(self) -> None:
        """Wait until supply and presence have everybody, each on the right host, as both hosts see it."""
        wanted = sorted(self.apps)
        subjects = [Subject("driver", driver_id) for driver_id in wanted]
        right = [[self.apps[driver_id][0].host] for driver_id in wanted]
        for host in self.hosts:
            await self._until(host, lambda host=host: self._shown_by(host), wanted)  # type: ignore[misc]
            await self._until(host, lambda host=host: host.presence.hosts_of(subjects), right)  # type: ignore[misc]

    async def _shown_by(self, host: RedisHost) -> list[str]:
        return sorted((await host.store.in_segments([HERE])).driver_ids)

    async def _until(self, host: RedisHost, look: Callable[[], Awaitable[object]], wanted: object) -> None:
        found: object = None
        try:
            async with asyncio.timeout(40):
                while True:
                    with contextlib.suppress(Unavailable):
                        found = await look()
                        if found == wanted:
                            return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"{host.host.id} does not see everybody: {found}")

    async def hold(self) -> None:
        """Nobody was closed, and pings are acknowledged."""
        for host, app in self.apps.values():
            await app.say("ping", **host.street.at(2))
        for _, app in self.apps.values():
            await app.acked(2)

    async def deliver_across(self) -> None:
        """Each host reaches the drivers of the other one."""
        a, b = self.hosts
        for driver_id, (host, app) in self.apps.items():
            other = b if host is a else a
            assert await other.router.deliver(driver_id, {"type": "offer", "offer_id": driver_id})
            assert (await app.hear("offer"))["offer_id"] == driver_id


@contextlib.asynccontextmanager
async def scene_on(url: str, clock: ManualClock) -> AsyncIterator[Scene]:
    async with contextlib.AsyncExitStack() as stack:
        hosts = RedisHost("a", clock, url), RedisHost("b", clock, url)
        for host in hosts:
            await host.start()
            stack.push_async_callback(host.stop)
        scene = Scene(hosts, stack)
        for number in range(DRIVERS):
            await scene.connect(f"drv_{number:02}", hosts[number % 2])
        await scene.whole()
        yield scene


@pytest.fixture
def server() -> Iterator[RealRedis]:
    with real_redis() as server:
        yield server


@pytest.fixture
def cluster() -> Iterator[RealCluster]:
    with real_cluster() as cluster:
        yield cluster


async def away(scene: Scene) -> None:
    """Wait until both hosts have noticed that Redis is away."""
    async with asyncio.timeout(20):
        for host in scene.hosts:
            while True:
                try:
                    host.watch.check()
                except Unavailable:
                    break
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", ["pause", "kill"])
async def test_while_redis_is_away_connections_stay_and_afterwards_everything_is_told_again(
    server: RealRedis, clock: ManualClock, fault: str
) -> None:
    async with scene_on(server.url, clock) as scene:
        a, b = scene.hosts
        getattr(server, fault)()
        await away(scene)
        await scene.hold()
        with pytest.raises(Unavailable):
            await a.store.in_segments([HERE])
        with pytest.raises(Unavailable):
            await a.presence.hosts_of([Subject("driver", "drv_01")])
        assert not await a.router.deliver("drv_01", {"type": "offer"})
        await scene.connect("drv_new", b)
        if fault == "pause":
            server.resume()
        else:
            server.start()  # empty: it keeps nothing on its disk
        await scene.whole()
        await scene.hold()
        await scene.deliver_across()


async def test_a_redis_that_was_emptied_behind_our_backs_is_filled_again_without_any_ping(
    server: RealRedis, clock: ManualClock
) -> None:
    async with scene_on(server.url, clock) as scene:
        server.empty()
        await scene.whole()
        await scene.deliver_across()


async def test_a_cluster_that_loses_a_master_for_good_goes_on_with_its_replica(
    cluster: RealCluster, clock: ManualClock
) -> None:
    async with scene_on(cluster.url, clock) as scene:
        for lost in cluster.masters()[:1]:
            lost.kill()
        await scene.hold()
        await scene.connect("drv_new", scene.hosts[0])
        await scene.whole()
        await scene.deliver_across()


async def test_a_cluster_of_which_one_master_was_emptied_is_filled_again_without_any_ping(
    cluster: RealCluster, clock: ManualClock
) -> None:
    async with scene_on(cluster.url, clock) as scene:
        for master in cluster.masters():
            master.empty()
            await scene.whole()
        await scene.deliver_across()


async def test_a_host_that_was_killed_loses_its_drivers_to_the_other_one(server: RealRedis, clock: ManualClock) -> None:
    async with scene_on(server.url, clock) as scene:
        a, b = scene.hosts
        for task in a._tasks:
            task.cancel()
        await a.server.close()  # as if it were gone: no sign of life, no answer
        await a.client.ask("DEL", f"hexcab:presence:{{host:{a.host.id}}}:life")  # its time is over
        assert not await b.router.deliver("drv_00", {"type": "offer"})
        assert await b.presence.hosts_of([Subject("driver", "drv_00")]) == [[]]
        await b.presence.reclaim()
        assert await b.presence.subjects_of(a.host.id) == []
        for number in range(0, DRIVERS, 2):
            await scene.connect(f"drv_{number:02}", b)
        await scene.whole()
