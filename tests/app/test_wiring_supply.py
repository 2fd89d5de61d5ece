"""The supply as searches read it: one reading answers all who asked before it began, and is never older than that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.wiring.supply import StoredSupply, SupplyReads
from core.errors import Unavailable
from dispatch.model import SupplyRows
from location.adapters.memory import MemorySupply
from location.model import ONLINE, SupplyChange, SupplyRow
from location.model import SupplyRows as Found
from maps.segments import segment_of
from runtime.settings import DispatchSettings, Settings

A, B, C = (segment_of(57.7 + step, 11.97) for step in (0.0, 0.02, 0.04))


class SlowSupply(MemorySupply):
    """Notes what is asked, and answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def in_segments(self, segments: Sequence[int]) -> Found:
        self.asked.append(list(segments))
        found = await super().in_segments(segments)
        await self.gate.wait()
        if self.away:
            raise Unavailable("away")
        return found


@pytest.fixture
def store() -> SlowSupply:
    return SlowSupply()


@pytest.fixture
def supply(store: SlowSupply) -> StoredSupply:
    return StoredSupply(SupplyReads(store, Settings(dispatch=DispatchSettings(supply_asks=3))))


async def put(store: SlowSupply, driver_id: str, segment: int, seen_at: float = 5.0) -> None:
    row = SupplyRow(57.7, 11.97, 0.0, 8.0, seen_at, 1.0, ONLINE, b"standard")
    await store.apply([SupplyChange(driver_id, segment, 0, row, 1)])


def names(rows: SupplyRows) -> list[str]:
    return sorted(rows.driver.tolist())


async def test_rows_are_those_of_the_segments_asked_for(store: SlowSupply, supply: StoredSupply) -> None:
    for number, segment in enumerate((A, B, B, C)):
        await put(store, f"drv_{number}", segment)
    assert names(await supply.in_segments([A, B])) == ["drv_0", "drv_1", "drv_2"]
    assert names(await supply.in_segments([])) == []
    found = await supply.by_segment([B, C, segment_of(57.8, 11.97)])
    assert {segment: names(rows) for segment, rows in found.items()} == {B: ["drv_1", "drv_2"], C: ["drv_3"]}
    assert found[C].vehicle_class.tolist() == ["standard"]
    assert (found[C].seen_at.tolist(), found[C].idle_since.tolist(), found[C].flags.tolist()) == ([5.0], [1.0], [1])


async def test_all_who_ask_while_a_reading_is_under_way_share_the_next(store: SlowSupply, supply: StoredSupply) -> None:
    for number, segment in enumerate((A, B, C)):
        await put(store, f"drv_{number}", segment)
    store.gate.clear()
    first = asyncio.create_task(supply.in_segments([A]))
    await asyncio.sleep(0.001)
    later = [asyncio.create_task(supply.in_segments(each)) for each in ([A, B], [B], [C], [A])]
    await asyncio.sleep(0.001)
    store.gate.set()
    answers = [names(rows) for rows in await asyncio.gather(first, *later)]
    assert answers == [["drv_0"], ["drv_0", "drv_1"], ["drv_1"], ["drv_2"], ["drv_0"]]
    assert store.asked == [[A], [A, B, C], [A]], "each segment once, and three asks at most"


async def test_what_was_written_before_the_question_is_in_the_answer(store: SlowSupply, supply: StoredSupply) -> None:
    store.gate.clear()
    early = asyncio.create_task(supply.in_segments([A]))
    await asyncio.sleep(0.001)
    await put(store, "drv_new", A)
    late = asyncio.create_task(supply.in_segments([A]))
    await asyncio.sleep(0.001)
    store.gate.set()
    assert names(await late) == ["drv_new"], "not the answer of the reading that was under way"
    assert names(await early) == []


async def test_a_store_that_is_away_is_so_for_all_who_asked(store: SlowSupply, supply: StoredSupply) -> None:
    store.away = True
    answers = await asyncio.gather(*(supply.in_segments([each]) for each in (A, B, C)), return_exceptions=True)
    assert [type(each) for each in answers] == [Unavailable] * 3
    store.away = False
    assert names(await supply.in_segments([A])) == []
