"""What every SupplyStore keeps, in memory and on Redis."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import Unavailable
from location import keys
from location.adapters.memory import MemorySupply
from location.adapters.redis import RedisSupply
from location.model import BUSY, ONLINE, SupplyChange, SupplyRow
from location.ports import SupplyStore
from maps.segments import segment_of
from runtime.redis import Client, Command, Word, connect
from runtime.redis_settings import RedisSettings
from tests.contracts.conftest import RedisOf

_example = itertools.count()
A, B, C = (segment_of(57.70 + step, 11.97) for step in (0.0, 0.02, 0.04))


KINDS = ["memory", "embedded", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("redis", "cluster"))]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, redis_of: RedisOf) -> SupplyStore:
    return MemorySupply() if request.param == "memory" else RedisSupply(await redis_of(request.param))


def row(seen_at: float = 100.0, lat: float = 57.7, flags: int = ONLINE) -> SupplyRow:
    return SupplyRow(lat, 11.97, 90.0, 8.5, seen_at, 42.0, flags, b"of_14_letters_", 200)


def put(driver_id: str, segment: int, previous: int = 0, seen_at: float = 100.0, epoch: int = 1) -> SupplyChange:
    return SupplyChange(driver_id, segment, previous, row(seen_at), epoch)


def leave(driver_id: str, previous: int = 0, epoch: int = 1) -> SupplyChange:
    return SupplyChange(driver_id, 0, previous, None, epoch)


async def members(store: SupplyStore, *segments: int) -> list[str]:
    return sorted((await store.in_segments(segments)).driver_ids)


async def test_a_driver_is_found_in_its_segment_with_everything_that_was_written(store: SupplyStore) -> None:
    await store.apply([SupplyChange("drv_1", A, 0, row(flags=ONLINE | BUSY), 1), put("drv_2", B)])
    rows = await store.in_segments([A])
    assert rows.driver_ids == ["drv_1"]
    assert rows.segment.tolist() == [A]
    assert rows.segment.dtype == np.uint64
    assert (rows.lat[0], rows.lng[0], rows.heading[0], rows.speed[0]) == (57.7, 11.97, 90.0, 8.5)
    assert (rows.seen_at[0], rows.idle_since[0]) == (100.0, 42.0)
    assert (rows.flags.tolist(), rows.vehicle) == ([ONLINE | BUSY], ["of_14_letters_"])
    assert rows.seats.tolist() == [200]


async def test_unknown_heading_and_vehicle_stay_unknown(store: SupplyStore) -> None:
    await store.apply([SupplyChange("drv_1", A, 0, SupplyRow(1.0, 2.0, math.nan, math.nan, 1.0, 0.0, ONLINE, b""), 1)])
    rows = await store.in_segments([A])
    assert np.isnan([rows.heading[0], rows.speed[0]]).all()
    assert (rows.vehicle, rows.seats.tolist()) == ([""], [0])


async def test_a_moving_driver_stands_in_one_segment_only(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A)])
    await store.apply([put("drv_1", B, previous=A, seen_at=101.0)])
    assert await store.count([A, B]) == [0, 1]
    assert await members(store, A, B) == ["drv_1"]


async def test_a_row_is_renewed_in_place(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A)])
    await store.apply([SupplyChange("drv_1", A, A, row(101.0, lat=57.71, flags=BUSY | ONLINE), 1)])
    rows = await store.in_segments([A])
    assert (rows.lat.tolist(), rows.seen_at.tolist(), rows.flags.tolist()) == ([57.71], [101.0], [3])


async def test_a_driver_placed_by_a_writer_that_is_gone_is_moved_all_the_same(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A)])
    await store.apply([put("drv_1", B, previous=0, seen_at=101.0)])  # a new writer does not know of A
    assert await store.count([A, B]) == [0, 1]
    await store.apply([leave("drv_1")])
    assert await store.count([A, B]) == [0, 0]


async def test_who_leaves_is_gone_and_may_leave_twice(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A), put("drv_2", A)])
    await store.apply([leave("drv_1", A)])
    await store.apply([leave("drv_1", A), leave("nobody")])
    assert await members(store, A) == ["drv_2"]


async def test_applying_the_same_changes_again_changes_nothing(store: SupplyStore) -> None:
    changes = [put("drv_1", B, previous=A), put("drv_2", A), leave("drv_3", B)]
    await store.apply([put("drv_1", A), put("drv_3", B)])
    for _ in range(2):
        await store.apply(changes)
        assert (await members(store, A), await members(store, B)) == (["drv_2"], ["drv_1"])


async def test_nothing_asked_is_nothing_answered(store: SupplyStore) -> None:
    await store.apply([])
    assert (await store.in_segments([])).driver_ids == []
    assert (await store.in_segments([C])).lat.shape == (0,)
    assert await store.count([]) == []
    assert await store.expire(1e12) == []


async def test_a_segment_asked_for_twice_is_answered_once(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A)])
    assert (await store.in_segments([A, A])).driver_ids == ["drv_1"]


async def test_silent_drivers_expire_and_the_others_stay(store: SupplyStore) -> None:
    await store.apply([put("old", A, seen_at=99.0), put("edge", A, seen_at=100.0), put("new", B, seen_at=130.0)])
    assert await store.expire(100.0) == ["old"]
    assert await members(store, A, B) == ["edge", "new"]
    assert await store.expire(100.0) == []


async def test_who_is_heard_again_does_not_expire_and_who_expired_may_come_back(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A, seen_at=90.0)])
    await store.apply([put("drv_1", A, previous=A, seen_at=110.0)])
    assert await store.expire(100.0) == []
    assert await store.expire(111.0) == ["drv_1"]
    await store.apply([put("drv_1", B, previous=0, seen_at=120.0)])
    assert await store.count([A, B]) == [0, 1]


async def test_many_expire_over_some_calls(store: SupplyStore) -> None:
    await store.apply([put(f"drv_{n}", A, seen_at=float(n)) for n in range(2_500)])
    gone: set[str] = set()
    for _ in range(5):
        gone.update(await store.expire(2_000.0))
    assert gone == {f"drv_{n}" for n in range(2_000)}
    assert await store.count([A]) == [500]


moves = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, A, B, C]), st.booleans()), max_size=40)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves)
async def test_after_any_moves_every_driver_is_in_exactly_its_last_segment(
    store: SupplyStore, moves: list[tuple[int, int, bool]]
) -> None:
    salt = f"#{next(_example)}#"  # the store lives on between examples
    where: dict[str, int] = {}
    for at, (number, segment, forgets) in enumerate(moves):
        driver_id = f"drv_{salt}_{number}"
        previous = 0 if forgets else where.get(driver_id, 0)
        change = put(driver_id, segment, previous, seen_at=float(at)) if segment else leave(driver_id, previous)
        await store.apply([change])
        where[driver_id] = segment
    for segment in (A, B, C):
        found = [each for each in await members(store, segment) if salt in each]
        assert found == sorted(driver_id for driver_id, at in where.items() if at == segment)


async def test_a_reader_beside_a_writer_never_misses_a_driver_nor_sees_one_twice(store: SupplyStore) -> None:
    await store.apply([put(f"drv_{n}", A) for n in range(20)])

    async def wander() -> None:
        here, there = A, B
        for step in range(30):
            await store.apply([put(f"drv_{n}", there, here, seen_at=101.0 + step) for n in range(20)])
            here, there = there, here
            await asyncio.sleep(0)

    writer = asyncio.create_task(wander())
    expected = sorted(f"drv_{n}" for n in range(20))
    while not writer.done():
        assert await members(store, A, B) == expected
        await asyncio.sleep(0)
    await writer


async def test_a_redis_that_is_away_is_unavailable() -> None:
    client = connect(RedisSettings(url="unix:///nonexistent/socket"))
    away = RedisSupply(client)
    for call in (away.apply([put("drv_1", A)]), away.in_segments([A]), away.count([A]), away.expire(1.0)):
        with pytest.raises(Unavailable):
            await call
    await client.aclose()


async def test_a_driver_is_found_wherever_they_stand(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A), put("drv_2", B)])
    await store.apply([put("drv_1", C, previous=A)])
    found = await store.of_drivers(["drv_1", "nobody", "drv_1"])
    assert (found.driver_ids, found.segment.tolist(), found.lat.tolist()) == (["drv_1"], [C], [57.7])
    await store.apply([leave("drv_1", previous=C)])
    assert (await store.of_drivers(["drv_1", "drv_2"])).driver_ids == ["drv_2"]
    assert (await store.of_drivers(["nobody"])).driver_ids == []
    assert (await store.of_drivers([])).driver_ids == []


async def test_the_occupied_segments_are_those_in_which_somebody_stands(store: SupplyStore) -> None:
    assert await store.occupied() == []
    await store.apply([put("drv_1", A), put("drv_2", A), put("drv_3", B)])
    assert sorted(await store.occupied()) == sorted([A, B])
    await store.apply([leave("drv_3", previous=B)])
    assert await store.occupied() == [A]


async def test_an_older_host_neither_moves_nor_renews_nor_removes_a_driver_of_a_newer_one(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A, seen_at=100.0, epoch=4)])
    await store.apply([put("drv_1", B, seen_at=101.0, epoch=5)])
    for stale in (put("drv_1", C, A, 102.0, epoch=4), put("drv_1", B, 0, 102.0, epoch=4), leave("drv_1", A, epoch=4)):
        assert await store.apply([stale]) == [stale]
        rows = await store.in_segments([A, B, C])
        assert (rows.driver_ids, rows.segment.tolist(), rows.seen_at.tolist()) == (["drv_1"], [B], [101.0])
    assert await store.apply([put("drv_1", B, B, 103.0, epoch=5)]) == []


async def test_an_older_host_does_not_bring_back_who_was_taken_out_by_a_newer_one(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A, epoch=4)])
    await store.apply([put("drv_1", A, epoch=5), put("drv_2", A)])
    await store.apply([leave("drv_1", A, epoch=5)])
    stale = put("drv_1", A, A, 101.0, epoch=4)
    assert await store.apply([stale, put("drv_2", B, A)]) == [stale], "the others of the tick are written"
    assert await members(store, A, B) == ["drv_2"]
    assert await store.apply([put("drv_1", A, epoch=5)]) == []
    assert await members(store, A) == ["drv_1"]


async def test_a_driver_who_was_taken_out_does_not_expire_once_more(store: SupplyStore) -> None:
    await store.apply([put("drv_1", A), put("drv_2", A)])
    await store.apply([leave("drv_1", A)])
    assert await store.expire(1_000.0) == ["drv_2"]
    assert await store.occupied() == []


async def test_many_drivers_of_one_segment_are_written_and_taken_out(store: SupplyStore) -> None:
    await store.apply([put(f"drv_{n}", A) for n in range(2_500)])
    assert await store.count([A]) == [2_500]
    await store.apply([put(f"drv_{n}", B, A, 101.0) if n % 2 else leave(f"drv_{n}", A) for n in range(2_500)])
    assert await store.count([A, B]) == [0, 1_250]


steps = st.lists(st.tuples(st.integers(1, 2), st.sampled_from([0, A, B, C])), max_size=30)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_whatever_two_hosts_write_the_newer_one_is_what_is_shown(
    store: SupplyStore, steps: list[tuple[int, int]]
) -> None:
    driver_id = f"drv_two_{next(_example)}"
    written = {1: 0, 2: 0}  # by epoch, where the host of it has put the driver
    held: tuple[int, int] | None = None
    for at, (epoch, segment) in enumerate(steps):
        previous = written[epoch]
        change = put(driver_id, segment, previous, float(at), epoch) if segment else leave(driver_id, previous, epoch)
        refused = await store.apply([change])
        written[epoch] = segment
        assert bool(refused) == (held is not None and held[0] > epoch)
        if not refused and (segment or held):
            held = (epoch, segment)
    rows = await store.in_segments([A, B, C])
    shown = [int(at) for who, at in zip(rows.driver_ids, rows.segment, strict=True) if who == driver_id]
    assert shown == ([held[1]] if held and held[1] else [])


@pytest.mark.parametrize("kind", ["embedded", *KINDS[2:]])
async def test_a_row_that_a_killed_host_has_left_behind_is_swept_by_the_writes_of_others(
    kind: str, redis_of: RedisOf
) -> None:
    client = await redis_of(kind)
    redis_supply = RedisSupply(client)
    await redis_supply.apply([put("drv_1", A, seen_at=100.0)])
    for shard in range(keys.SHARDS):  # as after a write that reached the segment alone
        await client.ask("DEL", keys.whereabouts(shard))
        await client.ask("DEL", keys.seen(shard))
    assert await redis_supply.expire(1e6) == []
    assert await members(redis_supply, A) == ["drv_1"]
    await redis_supply.apply([put(f"drv_new_{n}", A, seen_at=2_000.0) for n in range(3)])
    assert await members(redis_supply, A) == [f"drv_new_{n}" for n in range(3)]
    assert 0 < await client.ask("TTL", keys.rows(A)) <= 3_600


@pytest.mark.parametrize("kind", ["embedded", *KINDS[2:]])
async def test_what_an_older_host_writes_too_late_it_takes_back_when_it_hears_of_the_newer_one(
    kind: str, redis_of: RedisOf
) -> None:
    client = await redis_of(kind)
    older, newer = RedisSupply(Late(client)), RedisSupply(client)
    await older.apply([put("drv_1", A, epoch=4)])
    late = asyncio.create_task(older.apply([put("drv_1", B, A, 101.0, epoch=4)]))
    await Late.of(older).asked.wait()  # it was asked whether it may write, and is slow to do so
    await newer.apply([put("drv_1", C, 0, 102.0, epoch=5)])
    Late.of(older).gate.set()
    assert await late == []
    assert (await newer.of_drivers(["drv_1"])).segment.tolist() == [C]
    refused = await older.apply([put("drv_1", B, B, 103.0, epoch=4)])
    assert [each.driver_id for each in refused] == ["drv_1"]
    assert await newer.count([A, B, C]) == [0, 0, 1]


@pytest.mark.parametrize("kind", ["embedded", *KINDS[2:]])
async def test_what_an_older_host_writes_too_late_does_not_replace_the_row_of_a_newer_one(
    kind: str, redis_of: RedisOf
) -> None:
    client = await redis_of(kind)
    older, newer = RedisSupply(Late(client)), RedisSupply(client)
    await older.apply([put("drv_1", A, epoch=4)])
    late = asyncio.create_task(older.apply([put("drv_1", B, A, 101.0, epoch=4)]))
    await Late.of(older).asked.wait()
    await newer.apply([put("drv_1", B, 0, 102.0, epoch=5)])
    Late.of(older).gate.set()
    await late
    rows = await newer.in_segments([A, B])
    assert (rows.driver_ids, rows.seen_at.tolist()) == (["drv_1"], [102.0])
    await older.apply([leave("drv_1", B, epoch=4)])
    assert await members(newer, A, B) == ["drv_1"]


class Late:
    """A client whose second call of the second change waits for a gate."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._calls = 0
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    @staticmethod
    def of(supply: RedisSupply) -> Late:
        client = supply._client
        assert isinstance(client, Late)
        return client

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        self._calls += bool(commands)
        if self._calls == 4:  # placed, written; placed, and now
            self.asked.set()
            await self.gate.wait()
        return await self._client.send(commands)

    async def ask(self, *command: Word) -> Any:
        return await self._client.ask(*command)

    async def aclose(self) -> None:
        await self._client.aclose()
