from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from core.errors import Forbidden, InvalidInput
from dispatch.candidates import FILTERS, shortlist
from dispatch.decide import Decision, decide
from dispatch.model import BUSY, NEVER_AGAIN, ONLINE, Ask, Policy, RequestRide, SupplyRows
from dispatch.modes import choose_mode, next_drivers, next_wave_s, places
from tests.dispatch.pure import NOW, asks, supplies, travel_of, unknown_profiles
from tests.dispatch.world import AIRPORT, CENTRE, supply_rows

POLICY = Policy(max_pickup_eta_s=1_200)
ASK = Ask(now=NOW, mode="broadcast", free=3)


def decided(rows: SupplyRows, ask: Ask = ASK) -> Decision:
    listed = shortlist(rows, ask, POLICY)
    return decide(ask, listed, travel_of(listed.rows), unknown_profiles(listed.rows), POLICY)


def left(*drivers: dict[str, object], ask: Ask = ASK) -> list[str]:
    rows = supply_rows([{"seen_at": NOW, **driver} for driver in drivers])
    return list(shortlist(rows, ask, POLICY).rows.driver.tolist())


def test_only_online_idle_and_fresh_drivers_are_candidates() -> None:
    assert left(
        {"driver": "offline", "flags": 0},
        {"driver": "busy", "flags": ONLINE | BUSY},
        {"driver": "stale", "seen_at": NOW - 30.1},
        {"driver": "fresh", "seen_at": NOW - 30.0},
    ) == ["fresh"]


def test_vehicle_and_seats_count_only_when_asked_for() -> None:
    drivers: list[dict[str, object]] = [
        {"driver": "car", "seats": 4},
        {"driver": "van", "seats": 8, "vehicle_class": "van"},
    ]
    assert left(*drivers) == ["car", "van"]
    assert left(*drivers, ask=dataclasses.replace(ASK, seats=5)) == ["van"]
    assert left(*drivers, ask=dataclasses.replace(ASK, vehicle_class="standard")) == ["car"]


def test_a_tried_driver_is_out_until_pinging_after_the_time_given() -> None:
    ask = dataclasses.replace(ASK, tried={"never": NEVER_AGAIN, "silent": NOW - 5, "soon": NOW + 1, "back": NOW - 5})
    silent: dict[str, object] = {"driver": "silent", "seen_at": NOW - 6}
    assert left({"driver": "never"}, silent, {"driver": "soon"}, {"driver": "back"}, ask=ask) == ["back"]


def test_drivers_with_an_offer_elsewhere_are_out() -> None:
    assert left({"driver": "a"}, {"driver": "b"}, ask=dataclasses.replace(ASK, elsewhere={"a"})) == ["b"]


def test_a_driver_seen_twice_counts_once_with_the_latest_ping() -> None:
    rows = supply_rows(
        [{"driver": "a", "seen_at": NOW, "lat": 1.0}, {"driver": "b", "seen_at": NOW}, {"driver": "a", "lat": 2.0}]
    )
    listed = shortlist(rows, ASK, POLICY)
    assert (listed.seen, listed.rows.driver.tolist(), listed.rows.lat.tolist()[0]) == (2, ["a", "b"], 1.0)


def test_nobody_around_gives_an_empty_decision() -> None:
    decision = decided(SupplyRows.join(()))
    assert (decision.chosen, decision.supply_seen, decision.counts["seen"]) == ((), 0, 0)


def test_supply_seen_counts_drivers_open_to_work() -> None:
    rows = supply_rows(
        [
            {"driver": "d04", "seen_at": NOW},
            {"driver": "d01", "seen_at": NOW, "flags": ONLINE | BUSY},
            {"driver": "d02", "seen_at": NOW - 99},
            {"driver": "d11", "seen_at": NOW},
        ]
    )
    decision = decided(rows)
    assert decision.supply_seen == 2
    assert (decision.counts["unreachable"], decision.counts["too_far"], decision.counts["ranked"]) == (1, 1, 0)


@given(supplies(), asks())
def test_filter_counts_add_up_to_the_rows_seen(rows: SupplyRows, ask: Ask) -> None:
    counts = dict(decided(rows, ask).counts)
    seen = counts.pop("seen")
    assert list(counts) == [name for name, _ in FILTERS] + ["unreachable", "too_far", "ranked"]
    assert seen == len(set(rows.driver.tolist())) == sum(counts.values())


@given(supplies(), asks())
def test_the_decision_does_not_depend_on_the_order_of_the_rows(rows: SupplyRows, ask: Ask) -> None:
    # of two rows of one driver with the same time either may count, so only drivers seen once are compared
    names, first = np.unique(rows.driver, return_index=True)
    once = rows.take(first)
    one, other = decided(once, ask), decided(once.take(np.arange(len(names))[::-1]), ask)
    assert (one.chosen, one.counts, one.supply_seen) == (other.chosen, other.counts, other.supply_seen)


@given(supplies(), asks())
def test_the_chosen_are_the_best_free_ones_and_never_tried_or_taken(rows: SupplyRows, ask: Ask) -> None:
    decision = decided(rows, ask)
    ranked = decision.candidates.driver[decision.ranking.order].tolist()
    chosen = [choice.driver for choice in decision.chosen]
    assert chosen == [driver for driver in ranked if driver not in ask.taken][: ask.free]
    assert not set(chosen) & (set(ask.elsewhere) | {d for d, after in ask.tried.items() if after == NEVER_AGAIN})
    assert all(choice.pickup_eta_s <= POLICY.max_pickup_eta_s for choice in decision.chosen)


def asking(**fields: object) -> RequestRide:
    return RequestRide(**{"rider_id": "r", "pickup": CENTRE, "dropoff": AIRPORT, **fields})  # type: ignore[arg-type]


def test_premium_riders_get_the_best_driver_and_others_the_first_to_accept() -> None:
    assert choose_mode(asking(rider_class="premium"), POLICY) == "best"
    assert choose_mode(asking(rider_class="standard"), POLICY) == "broadcast"


def test_standard_riders_are_matched_together_where_the_city_wants_it_or_many_ask() -> None:
    everywhere = dataclasses.replace(POLICY, batch_standard=True)
    assert choose_mode(asking(rider_class="standard"), everywhere) == "batch"
    assert choose_mode(asking(rider_class="premium"), everywhere) == "best"
    assert choose_mode(asking(rider_class="standard"), everywhere, in_line=True) == "best"
    assert choose_mode(asking(rider_class="standard"), POLICY, POLICY.batch_above_open) == "broadcast"
    assert choose_mode(asking(rider_class="standard"), POLICY, POLICY.batch_above_open + 1) == "batch"
    assert choose_mode(asking(rider_class="premium"), POLICY, POLICY.batch_above_open + 1) == "best"


def test_operators_alone_may_override_the_mode() -> None:
    for mode in ("best", "broadcast", "batch"):
        assert choose_mode(asking(rider_class="premium", mode=mode, by_ops=True), POLICY, 10_000) == mode
    with pytest.raises(Forbidden):
        choose_mode(asking(mode="batch"), POLICY)
    with pytest.raises(InvalidInput):
        choose_mode(asking(mode="auction", by_ops=True), POLICY)


def test_best_has_one_offer_open_and_broadcast_several() -> None:
    assert (places("best", POLICY), places("broadcast", POLICY), places("batch", POLICY)) == (1, 3, 1)
    assert next_drivers(["a", "b", "c", "d"], 2, {"a", "c"}) == [1, 3]
    assert next_drivers(["a"], 0, set()) == []


@given(st.floats(0, 60), st.sampled_from([1, 3, 4, 9]), st.sampled_from([1, 6, 8]), st.sampled_from([2.0, 6.0, 20.0]))
def test_waves_grow_up_to_the_cap_and_each_is_announced(open_s: float, drivers: int, cap: int, wave_s: float) -> None:
    policy = Policy(broadcast_drivers=drivers, parallel_offers=cap, wave_s=wave_s)
    now, wave_at = places("broadcast", policy, open_s), next_wave_s("broadcast", policy, open_s)
    assert drivers <= now <= max(drivers, cap)
    assert (wave_at == float("inf")) == (now == max(drivers, cap))
    if wave_at < float("inf"):
        assert open_s < wave_at <= open_s + wave_s
        assert places("broadcast", policy, wave_at) > now == places("broadcast", policy, (open_s + wave_at) / 2)
    assert next_wave_s("best", policy, open_s) == next_wave_s("batch", policy, open_s) == float("inf")


def test_where_drivers_wait_in_line_they_are_asked_one_after_the_other() -> None:
    assert choose_mode(asking(rider_class="standard"), POLICY, in_line=True) == "best"
    assert choose_mode(asking(mode="broadcast", by_ops=True), POLICY, in_line=True) == "broadcast"


def test_the_head_of_the_line_is_chosen_though_others_are_nearer() -> None:
    rows = supply_rows([{"seen_at": NOW, "driver": f"d{n:02d}"} for n in range(4)])
    ask = dataclasses.replace(ASK, mode="best", free=1, line={"d03": 1, "d02": 2})
    assert [choice.driver for choice in decided(rows, ask).chosen] == ["d03"]
    tried = dataclasses.replace(ask, tried={"d03": NEVER_AGAIN})
    assert [choice.driver for choice in decided(rows, tried).chosen] == ["d02"]
