"""Looks: who is a candidate does not depend on how segments are cut, nor on what else is looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from core.geo import LatLng, haversine_many_m
from core.money import Money
from dispatch.candidates import open_to_work
from dispatch.look import Lookout, Sought
from dispatch.model import ONLINE, Policy, RideRequest, SupplyRows
from dispatch.ports import Ports, Store
from maps import segments
from maps.neighbours import Neighbours, Shapes, Surroundings, surroundings
from maps.segmenttable import SegmentTable
from runtime.clocks import ManualClock
from runtime.settings import DispatchSettings
from tests.dispatch.world import (
    AIRPORT,
    CENTRE,
    FakeDelivery,
    FakeProfiles,
    FakeQuotes,
    FakeTravel,
    supply_rows,
)
from tests.maps.cuts import Step, cut, steps

NOW = 1_000.0
METRES_PER_DEGREE = 111_195.0

metres = st.floats(-6_000.0, 6_000.0)
places = st.builds(
    lambda north, east: LatLng(CENTRE.lat + north / METRES_PER_DEGREE, CENTRE.lng + east / METRES_PER_DEGREE / 0.534),
    metres,
    metres,
)
drivers = st.lists(
    st.tuples(places, st.sampled_from([ONLINE, ONLINE, ONLINE, 0, 3]), st.sampled_from([NOW, NOW, NOW - 99])),
    max_size=40,
)
policies = st.builds(
    Policy,
    enough_candidates=st.integers(1, 8),
    near_m=st.sampled_from([50.0, 400.0, 1_500.0]),
    max_pickup_m=st.sampled_from([1_000.0, 3_000.0, 7_000.0]),
    max_pickup_eta_s=st.just(1e6),
)


class CutSegments:
    """One table of segments, which nobody changes."""

    version = 1

    def __init__(self, table: SegmentTable) -> None:
        self.table = table

    def at(self, place: LatLng) -> int:
        return self.table.locate(*place)

    def around(self, segment: int, most_m: float) -> Surroundings:
        shapes = Shapes()
        return surroundings(segment, Neighbours(self.table, shapes).within(segment, most_m), shapes, most_m)

    async def sure(self) -> None:
        pass


class CutSupply:
    """Drivers placed by a table."""

    def __init__(self, rows: SupplyRows, table: SegmentTable) -> None:
        self._rows = rows
        self._placed = table.locate_many(rows.lat, rows.lng) if len(rows) else np.zeros(0, dtype=np.int64)
        self.reads = 0

    async def in_segments(self, wanted: Sequence[int]) -> SupplyRows:
        self.reads += 1
        return self._rows.take(np.flatnonzero(np.isin(self._placed, np.array(wanted, dtype=self._placed.dtype))))

    async def by_segment(self, wanted: Sequence[int]) -> dict[int, SupplyRows]:
        raise AssertionError("looks read whole rings")


class NoOffers:
    """A store in which nobody holds an offer."""

    async def holding_offers(self, driver_ids: Sequence[str]) -> set[str]:
        return set()


def lookout(supply: CutSupply, table: SegmentTable, policy: Policy) -> Lookout:
    async def no_papers(driver_id: str, quote_id: str | None) -> object:
        raise AssertionError("looks open no trips")

    ports = Ports(
        cast(Store, NoOffers()),
        supply,
        FakeTravel(),
        FakeProfiles(),
        FakeDelivery(),
        FakeQuotes(),
        no_papers,
        CutSegments(table),
    )
    return Lookout(ports, policy, DispatchSettings(), ManualClock(NOW))


def request_at(pickup: LatLng, table: SegmentTable) -> RideRequest:
    return RideRequest(
        request_id="req_1",
        rider_id="rdr_1",
        pickup=pickup,
        dropoff=AIRPORT,
        rider_class="standard",
        mode="best",
        status="searching",
        segment=segments.name(table.locate(*pickup)),
        fare=Money(100, "SEK"),
        created_at=NOW,
        expires_at=NOW + 60,
    )


def rows_of(found: Sequence[tuple[LatLng, int, float]]) -> SupplyRows:
    rows: list[dict[str, Any]] = [
        {"driver": f"d{n:02d}", "lat": at.lat, "lng": at.lng, "flags": flags, "seen_at": seen}
        for n, (at, flags, seen) in enumerate(found)
    ]
    return supply_rows(rows)


def by_hand(rows: SupplyRows, pickup: LatLng, policy: Policy) -> set[str]:
    """Of all who are open to work those within `near_m`, and as near as the `enough_candidates`th; none too far."""
    able = rows.take(np.flatnonzero(open_to_work(rows, NOW, policy)))
    away_m = haversine_many_m(able.lat, able.lng, pickup)
    nearest = np.sort(away_m)[: policy.enough_candidates]
    reach_m = max(policy.near_m, nearest[-1]) if len(nearest) == policy.enough_candidates else np.inf
    return set(able.driver[away_m <= min(reach_m, policy.max_pickup_m)].tolist())


@given(drivers, places, policies, steps)
def test_the_candidates_are_the_nearest_however_segments_are_cut(
    found: list[tuple[LatLng, int, float]], pickup: LatLng, policy: Policy, changes: list[Step]
) -> None:
    rows, table = rows_of(found), cut(changes)
    looked = asyncio.run(lookout(CutSupply(rows, table), table, policy).look(request_at(pickup, table), [], 3))
    assert set(looked.candidates.driver.tolist()) == by_hand(rows, pickup, policy)
    assert len(looked.candidates.driver) == len(set(looked.candidates.driver.tolist()))


@given(drivers, st.lists(places, min_size=2, max_size=4), policies, steps)
def test_looks_together_see_what_each_would_see_alone(
    found: list[tuple[LatLng, int, float]], pickups: list[LatLng], policy: Policy, changes: list[Step]
) -> None:
    rows, table = rows_of(found), cut(changes)
    requests = [request_at(pickup, table) for pickup in pickups]
    watch = lookout(CutSupply(rows, table), table, policy)

    async def both() -> tuple[list[Any], list[Any]]:
        alone = [await watch.look(request, [], 2) for request in requests]
        return alone, await watch.look_together([Sought(request, []) for request in requests], 2)

    alone, together = asyncio.run(both())
    for one, other in zip(alone, together, strict=True):
        assert other.chosen == one.chosen
        assert other.counts == one.counts
        assert other.ranking.scores.tolist() == one.ranking.scores.tolist()


@given(drivers, places, steps)
def test_a_look_that_has_enough_leaves_the_segments_farther_out_alone(
    found: list[tuple[LatLng, int, float]], pickup: LatLng, changes: list[Step]
) -> None:
    policy, table = Policy(enough_candidates=1, near_m=50.0, max_pickup_m=7_000.0), cut(changes)
    here = (pickup, ONLINE, NOW)
    crowded, empty = CutSupply(rows_of([here, *found]), table), CutSupply(rows_of([]), table)
    for supply in (crowded, empty):
        asyncio.run(lookout(supply, table, policy).look(request_at(pickup, table), [], 1))
    assert crowded.reads < empty.reads


def test_a_driver_at_the_limit_is_a_candidate_and_one_beyond_it_is_not() -> None:
    policy, table = Policy(enough_candidates=2, near_m=50.0, max_pickup_m=2_000.0), SegmentTable()
    at = [LatLng(CENTRE.lat + away / METRES_PER_DEGREE, CENTRE.lng) for away in (1_990.0, 2_010.0)]
    supply = CutSupply(rows_of([(place, ONLINE, NOW) for place in at]), table)
    looked = asyncio.run(lookout(supply, table, policy).look(request_at(CENTRE, table), [], 1))
    assert looked.candidates.driver.tolist() == ["d00"]
    assert looked.counts["seen"] == 1
