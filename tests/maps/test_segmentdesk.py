"""A new table of segments rolls out: read at once, placed by later, by every process in its own time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import Conflict, NotFound
from core.geo import LatLng
from maps import segments
from maps.adapters.memory import MemorySegments
from maps.knownsegments import KnownSegments
from maps.segmentdesk import SegmentDesk
from maps.segmenttable import SegmentTable
from runtime.clocks import ManualClock
from runtime.segment_settings import SegmentSettings
from tests.maps.cuts import CENTRE

SETTINGS = SegmentSettings(switch_s=4.0)
HERE = SegmentTable().locate(*CENTRE)
AT = LatLng(*CENTRE)


class Hosts:
    """Processes that share a store, with seconds that the test turns."""

    def __init__(self) -> None:
        self.store, self.seconds = MemorySegments(), 100.0

    def host(self) -> SegmentDesk:
        return SegmentDesk(self.store, KnownSegments(SETTINGS, lambda: self.seconds), ManualClock())


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


def read(desk: SegmentDesk) -> set[int]:
    return set(desk.around(desk.at(AT), 100.0).cells.tolist())


async def test_a_split_is_read_at_once_and_placed_by_only_when_every_reader_must_know(hosts: Hosts) -> None:
    desk, other = hosts.host(), hosts.host()
    children = await desk.split(HERE)
    await other.refresh()
    assert desk.at(AT) == other.at(AT) in children
    for each in (desk, other):
        assert each.known.locate(*AT) == HERE
        assert read(each) >= {HERE, each.at(AT)}
    hosts.seconds += 3.9
    await other.refresh()
    assert other.known.locate(*AT) == HERE
    hosts.seconds += 0.2
    await other.refresh()
    assert other.known.locate(*AT) == other.at(AT) != HERE
    assert HERE in read(other), "another host may not have switched yet"


async def test_who_has_not_asked_for_long_asks_before_it_reads(hosts: Hosts) -> None:
    desk, other = hosts.host(), hosts.host()
    await desk.split(HERE)
    hosts.seconds += 1.9
    await other.sure()
    assert other.version == 1, "nobody places drivers by the new one yet"
    hosts.seconds += 0.2
    await other.sure()
    assert other.version == 2


async def test_a_process_that_begins_in_the_middle_places_by_the_table_before(hosts: Hosts) -> None:
    await hosts.host().split(HERE)
    new = hosts.host()
    await new.refresh()
    assert (new.version, new.known.locate(*AT)) == (2, HERE)
    hosts.seconds += 4.1
    await new.refresh()
    assert new.known.locate(*AT) == new.at(AT)


async def test_the_switch_is_told_once_with_the_table_to_place_by(hosts: Hosts) -> None:
    desk = hosts.host()
    told: list[int] = []
    desk.known.on_switch(lambda table: told.append(table.version))
    await desk.split(HERE)
    await desk.merge(desk.at(AT))
    hosts.seconds += 4.1
    await desk.refresh()
    await desk.refresh()
    assert told[-1:] == [3]
    assert told.count(3) == 1


async def test_two_operators_at_once_do_not_overwrite_each_other(hosts: Hosts) -> None:
    desk = hosts.host()
    lost = replace(SegmentTable().splitting(HERE), version=2)

    async def meanwhile(table: SegmentTable, at: float) -> None:
        await MemorySegments.save(hosts.store, lost, at)
        await MemorySegments.save(hosts.store, table, at)

    hosts.store.save = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await desk.pin(HERE)
    assert (await hosts.store.load())[0] == lost


async def test_what_an_operator_cut_is_pinned_until_unpinned(hosts: Hosts) -> None:
    desk = hosts.host()
    children = await desk.split(HERE)
    assert desk.newest.pins == set(children)
    await desk.unpin(children[0])
    assert desk.newest.pins == set(children[1:])
    assert await desk.merge(children[1]) == [HERE]
    assert desk.newest.pins == {HERE}
    version = desk.version
    assert await desk.pin(HERE) == [HERE]
    assert desk.version == version, "nothing changed"
    with pytest.raises(NotFound):
        await desk.split(children[0])


async def test_counts_by_segments_of_an_earlier_version_go_to_what_is_there_now(hosts: Hosts) -> None:
    desk = hosts.host()
    children = list(await desk.split(HERE))
    middle = desk.newest.locate(*segments.centre(HERE))
    assert desk.as_now({HERE: 3, children[0]: 2}) == (
        {middle: 3, children[0]: 2} if middle != children[0] else {middle: 5}
    )
    await desk.merge(children[0])
    assert desk.as_now(dict.fromkeys(children, 1)) == {HERE: 7}
