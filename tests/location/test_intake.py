"""Which pings are used: the judges one by one, and together over any order and duplication."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.geo import LatLng, haversine_m
from location.intake import REASONS, everywhere
from location.live import Driver, LiveDrivers
from location.messages import Position
from location.model import TrailPoint
from location.pings import PingPath
from location.ports import Inside
from location.trail import TrailWriter
from runtime.settings import LocationSettings

NOW = 1_790_000_000.0
NOW_MS = int(NOW * 1000)
FIRST_SEQ, FIRST_TS = 10, NOW_MS - 10_000
SETTINGS = LocationSettings(keep_idle_pings=False)


class NoLog:
    """A trail log that is never flushed to."""

    async def append(self, points: list[TrailPoint]) -> None:
        raise AssertionError


def thousandths(lat: float, lng: float) -> int:
    return (1 << 40) + int(lat * 1000) * 10_000 + int(lng * 1000)


def path_of(live: LiveDrivers, inside: Inside = everywhere) -> PingPath:
    return PingPath(live, TrailWriter(NoLog(), live, SETTINGS), thousandths, SETTINGS, inside=inside)  # type: ignore[arg-type]


def refuse(ping: Position, last: Position | None, inside: Inside = everywhere) -> str | None:
    """Why a ping is not used after the last one, or None when it is."""
    live = LiveDrivers()
    driver = live.driver("drv_1")
    if last is not None:
        path_of(live).take(driver, last, last.ts / 1000)
        assert driver.ts == last.ts
        live.tallies[:] = 0
    path = path_of(live, inside)
    path.take(driver, ping, NOW)
    reasons = [reason for reason, count in path.dropped.items() if count]
    assert path.accepted + len(reasons) == 1
    return reasons[0] if reasons else None


LAST = Position(FIRST_SEQ, FIRST_TS, 57.7, 11.9)


def ping(seq: int = 11, ts: int = NOW_MS, lat: float = 57.7, lng: float = 11.9) -> Position:
    return Position(seq, ts, lat, lng)


def test_a_ping_that_breaks_no_rule_is_used() -> None:
    assert refuse(ping(), LAST) is None


def test_the_first_ping_of_a_driver_may_be_from_any_past_time_and_place() -> None:
    assert refuse(ping(ts=0, lat=-33, lng=151), None) is None


def test_a_clock_may_be_ahead_by_the_limit_and_no_further() -> None:
    assert refuse(ping(ts=NOW_MS + 30_000), LAST) is None
    assert refuse(ping(ts=NOW_MS + 30_001), LAST) == "future"


def test_a_ping_sent_again_is_a_duplicate() -> None:
    assert refuse(ping(LAST.seq, LAST.ts), LAST) == "duplicate"
    assert refuse(ping(LAST.seq - 3, LAST.ts - 9_000), LAST) == "duplicate"


def test_an_older_ping_with_a_new_number_is_out_of_order() -> None:
    assert refuse(ping(ts=NOW_MS - 10_001), LAST) == "out_of_order"


def test_pings_closer_than_the_gap_by_their_own_time_are_too_soon() -> None:
    assert refuse(ping(ts=NOW_MS - 9_501), LAST) == "too_soon"
    assert refuse(ping(ts=NOW_MS - 9_500), LAST) is None


def test_a_ping_outside_the_service_area_is_not_used() -> None:
    assert refuse(ping(), LAST, lambda lat, lng: lat < 57) == "outside"


@settings(deadline=None)  # the first example may compile
@given(
    st.floats(-89, 89), st.floats(-180, 180), st.floats(-0.05, 0.05), st.floats(-0.05, 0.05), st.integers(500, 90_000)
)
def test_too_fast_is_exactly_the_great_circle_over_the_time(
    lat: float, lng: float, north: float, east: float, gap_ms: int
) -> None:
    last = Position(FIRST_SEQ, NOW_MS - gap_ms, lat, lng)
    to = LatLng(lat + north, lng + east)
    speed_mps = haversine_m(LatLng(lat, lng), to) / (gap_ms / 1000)
    if not math.isclose(speed_mps, 70.0, rel_tol=1e-9):
        expected = "too_fast" if speed_mps > 70.0 else None
        assert refuse(ping(lat=to.lat, lng=to.lng), last) == expected


def state(driver: Driver) -> tuple[object, ...]:
    return driver.ts, repr(driver.lat), repr(driver.lng), driver.segment


positions = st.builds(
    Position,
    seq=st.integers(0, 30),
    ts=st.integers(NOW_MS - 60_000, NOW_MS + 40_000).map(lambda ts: ts - ts % 250),
    lat=st.floats(57.69, 57.72),
    lng=st.floats(11.9, 11.95),
)


@settings(deadline=None)  # the first example may compile
@given(st.lists(positions, max_size=25), st.randoms(use_true_random=False))
def test_any_order_and_duplication_leaves_the_state_of_the_accepted_pings(sent: list[Position], rng: object) -> None:
    sent = sent + sent[::2]
    rng.shuffle(sent)  # type: ignore[attr-defined]
    live, replayed = LiveDrivers(), LiveDrivers()
    path, again = path_of(live), path_of(replayed)
    driver, twin = live.driver("drv_1"), replayed.driver("drv_1")
    accepted = []
    for each in sent:
        before = path.accepted
        path.take(driver, each, NOW)
        if path.accepted > before:
            accepted.append(each)
    for each in accepted:
        again.take(twin, each, NOW)
    assert again.accepted == len(accepted)
    assert state(driver) == state(twin)
    assert path.accepted + sum(path.dropped.values()) == len(sent)
    assert set(path.dropped) == set(REASONS)
    assert driver.seq == max((each.seq for each in sent), default=0)
    assert [each.ts for each in accepted] == sorted({each.ts for each in accepted})


@settings(deadline=None)  # the first example may compile
@given(st.lists(positions, min_size=1, max_size=15))
def test_sending_everything_again_changes_nothing(sent: list[Position]) -> None:
    live = LiveDrivers()
    path, driver = path_of(live), live.driver("drv_1")
    in_order = sorted(sent, key=lambda each: each.ts)
    numbered = [Position(n, each.ts, each.lat, each.lng) for n, each in enumerate(in_order, 1)]
    for each in numbered:
        path.take(driver, each, NOW)
    used, before = path.accepted, state(driver)
    last_used = driver.ts
    for each in numbered:
        if each.ts <= last_used:
            path.take(driver, each, NOW)
    assert (path.accepted, state(driver)) == (used, before)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_counter_from_the_start(reason: str) -> None:
    assert path_of(LiveDrivers()).dropped[reason] == 0
