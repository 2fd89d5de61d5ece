"""Explanations: every driver whom a look saw, why each got no offer, and what is kept of it."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from core.errors import NotFound
from core.money import Money
from dispatch.batch import Considered, match_window
from dispatch.candidates import FILTERS, shortlist
from dispatch.decide import Decision, decide
from dispatch.explain import Look, LookTerms, look_of
from dispatch.model import BUSY, ONLINE, Ask, PickupTravel, Policy, RideRequest, SupplyRows
from dispatch.ranking import FEATURES
from runtime.batch_settings import BatchSettings
from runtime.explain_settings import ExplainSettings
from runtime.settings import Settings
from tests.dispatch.conftest import MakeWorld
from tests.dispatch.pure import NOW, asks, supplies, travel_of, unknown_profiles
from tests.dispatch.world import AIRPORT, CENTRE, World, north_of, supply_rows

POLICY = Policy()
ALL = LookTerms("lok_1", 1, POLICY.weights, 10_000)
REQUEST = RideRequest(
    request_id="req_1",
    rider_id="rdr_1",
    pickup=CENTRE,
    dropoff=AIRPORT,
    rider_class="standard",
    mode="best",
    status="searching",
    segment="881f1d4a2dfffff",
    fare=Money(100, "SEK"),
    created_at=NOW,
    expires_at=NOW + 60,
)


def decided(rows: SupplyRows, ask: Ask) -> Decision:
    listed = shortlist(rows, ask, POLICY)
    return decide(ask, listed, travel_of(listed.rows), unknown_profiles(listed.rows), POLICY)


def written(decision: Decision, terms: LookTerms = ALL) -> Look:
    return look_of(REQUEST, decision, [choice.driver for choice in decision.chosen], terms)


def outcomes(look: Look) -> dict[str, str]:
    return {one.driver_id: one.outcome for one in look.drivers}


@given(supplies(), asks())
def test_everybody_seen_is_told_of_once_and_the_outcomes_add_up_to_the_counts(rows: SupplyRows, ask: Ask) -> None:
    decision = decided(rows, ask)
    look = written(decision)
    assert len(look.drivers) == look.counts["seen"] == len(set(rows.driver.tolist()))
    assert look.left_out == 0
    for name in (*(name for name, _ in FILTERS), "unreachable", "too_far"):
        assert sum(one.outcome == name for one in look.drivers) == look.counts[name]
    ranked = [one for one in look.drivers if one.rank is not None]
    assert [one.rank for one in ranked] == list(range(1, look.counts["ranked"] + 1))
    assert [one.driver_id for one in ranked if one.outcome == "offered"] == [c.driver for c in decision.chosen]
    for one in ranked:
        assert one.seconds is not None
        assert tuple(one.seconds) == FEATURES
        assert sum(one.seconds.values()) == pytest.approx(one.score, abs=0.05)
        assert one.outcome in ("offered", "taken", "ranked_lower")
        assert (one.outcome == "taken") <= (one.driver_id in ask.taken)


@given(supplies(), asks(), st.integers(1, 6))
def test_a_long_list_is_cut_after_the_best_and_the_nearest_and_says_so(rows: SupplyRows, ask: Ask, most: int) -> None:
    decision = decided(rows, ask)
    whole, cut = written(decision), written(decision, LookTerms("lok_1", 1, POLICY.weights, most))
    assert len(cut.drivers) <= most + len(decision.chosen)
    assert len(cut.drivers) + cut.left_out == cut.counts["seen"]
    assert [one for one in whole.drivers if one.outcome == "offered"] == [
        one for one in cut.drivers if one.outcome == "offered"
    ]
    if not decision.chosen:
        assert cut.drivers == whole.drivers[:most]


def test_each_filter_names_whom_it_dropped() -> None:
    rows = supply_rows(
        [
            {"driver": "d00", "seen_at": NOW},
            {"driver": "d01", "seen_at": NOW, "flags": 0},
            {"driver": "d02", "seen_at": NOW, "flags": ONLINE | BUSY},
            {"driver": "d03", "seen_at": NOW - 31},
            {"driver": "d04", "seen_at": NOW},
            {"driver": "d05", "seen_at": NOW, "vehicle_class": "van"},
            {"driver": "d06", "seen_at": NOW},
            {"driver": "d07", "seen_at": NOW},
            {"driver": "d08", "seen_at": NOW},
            {"driver": "d11", "seen_at": NOW},
        ]
    )
    ask = Ask(
        now=NOW,
        mode="best",
        vehicle_class="standard",
        tried={"d06": float("inf")},
        elsewhere={"d07"},
        taken={"d00"},
    )
    look = written(decided(rows, ask))
    assert outcomes(look) == {
        "d00": "taken",
        "d01": "offline",
        "d02": "busy",
        "d03": "stale",
        "d04": "unreachable",
        "d05": "vehicle",
        "d06": "tried",
        "d07": "elsewhere",
        "d08": "offered",
        "d11": "too_far",
    }
    shown = {one.driver_id: one for one in look.drivers}
    assert shown["d11"].pickup_eta_s == 1650.0
    assert shown["d04"].pickup_eta_s is None
    assert shown["d03"].position_age_s == 31.0
    assert msgspec.json.decode(msgspec.json.encode(look), type=Look) == look


def test_a_window_says_who_was_given_to_another_and_who_was_left() -> None:
    def considered(eta_s: dict[str, float]) -> Considered:
        rows = supply_rows([{"driver": driver, "seen_at": NOW, "idle_since": NOW} for driver in eta_s])
        listed = shortlist(rows, Ask(now=NOW, mode="batch", free=24), POLICY)
        seconds = PickupTravel(*[rows.lat * 0 + list(eta_s.values())] * 2)
        ask = Ask(now=NOW, mode="batch", free=24)
        return Considered(decide(ask, listed, seconds, unknown_profiles(listed.rows), POLICY), 0.0)

    window = [considered({"a": 60, "b": 70}), considered({"a": 90, "b": 600}), considered({"c": 900})]
    first, second, third = map(written, match_window(window, Policy(left_s=700, left_per_waited_s=0)))
    assert outcomes(first) == {"a": "given_to_another", "b": "offered"}
    assert outcomes(second) == {"a": "offered", "b": "given_to_another"}
    assert outcomes(third) == {"c": "left_waiting"}


async def told(world: World, request: RideRequest) -> dict[str, Any]:
    return await world.desk.explanations.of(request.request_id)


async def test_a_ride_is_explained_by_the_looks_that_led_to_offers(world: World) -> None:
    world.drivers("a", "b", "c", "d")
    world.supply.add("off", north_of(CENTRE, 50), flags=0)
    request = await world.ask(rider_class="premium")
    await world.advance(1)
    await world.desk.decline("a", (await world.offer_to(request, "a")).offer_id, "lunch")
    await world.settled()
    await world.desk.accept("b", (await world.offer_to(request, "b")).offer_id)
    await world.settled()

    why = await told(world, request)
    assert (why["status"], why["mode"]) == ("assigned", "best")
    assert why["trip_id"] is not None
    assert [(each["driver_id"], each["status"], each["reason"]) for each in why["offers"]] == [
        ("a", "declined", "lunch"),
        ("b", "accepted", None),
    ]
    first, second = why["looks"]
    assert {one["driver_id"]: one["outcome"] for one in first["candidates"]} == {
        "a": "offered",
        "b": "ranked_lower",
        "c": "ranked_lower",
        "d": "ranked_lower",
        "off": "offline",
    }
    assert {one["driver_id"]: one["outcome"] for one in second["candidates"]}["a"] == "tried"
    assert [one.get("rank") for one in first["candidates"]] == [1, 2, 3, 4, None]
    assert first["counts"]["seen"] == 5
    assert first["weights"]["seconds_per_idle_minute"] == 2.0


async def test_who_finds_nobody_is_told_why_while_the_search_goes_on_and_afterwards(world: World) -> None:
    world.supply.add("busy", CENTRE, flags=ONLINE | BUSY)
    request = await world.ask()
    (look,) = (await told(world, request))["looks"]
    assert [one["outcome"] for one in look["candidates"]] == ["busy"]
    await world.advance(300)
    assert (await world.now(request)).status == "no_driver"
    assert (await told(world, request))["looks"] == [look], "it was the last one, too"


async def test_all_drivers_of_a_broadcast_are_offered_in_one_look(world: World) -> None:
    world.drivers("a", "b", "c", "d")
    (look,) = (await told(world, await world.ask()))["looks"]
    assert [one["outcome"] for one in look["candidates"]] == ["offered", "offered", "offered", "ranked_lower"]


async def test_without_asking_only_the_driver_who_got_the_trip_was_offered_it(make_world: MakeWorld) -> None:
    world = await make_world(auto_accept=True)
    world.drivers("a", "b")
    world.trips.suspended.add("a")
    request = await world.ask()
    assert (await world.now(request)).status == "assigned"
    (look,) = (await told(world, request))["looks"]
    assert [(one["driver_id"], one["outcome"]) for one in look["candidates"]] == [("a", "cannot"), ("b", "offered")]


async def test_the_looks_of_a_window_are_kept(make_world: MakeWorld) -> None:
    world = await make_world(batch=BatchSettings(standard=True))
    world.drivers("a", "b")
    request = await world.ask(mode=None)
    await world.advance(3)
    (look,) = (await told(world, request))["looks"]
    assert look["mode"] == "batch"
    assert look["candidates"][0]["outcome"] == "offered"


def with_explain(world: World, explain: ExplainSettings) -> None:
    """The same world, explained otherwise."""
    settings: Settings = msgspec.structs.replace(world.settings, explain=explain)
    world.settings = settings
    world.desk = world.new_desk()


async def test_no_more_looks_are_kept_than_the_settings_want_and_one_is_for_the_end(world: World) -> None:
    with_explain(world, ExplainSettings(looks=3))
    await world.desk.searches.take({0})
    world.drivers("a", "b", "c", "d")
    request = await world.ask(rider_class="premium")
    for driver in "abcd":
        await world.desk.decline(driver, (await world.offer_to(request, driver)).offer_id, None)
        await world.settled()
    await world.advance(300)
    assert (await world.now(request)).status == "expired"
    kept = (await told(world, request))["looks"]
    offered = [[one["driver_id"] for one in look["candidates"] if one["outcome"] == "offered"] for look in kept]
    assert offered == [["a"], ["b"], []]
    assert kept[-1]["counts"]["tried"] == 4


async def test_nothing_is_kept_where_nobody_wants_explanations(world: World) -> None:
    with_explain(world, ExplainSettings(looks=0))
    await world.desk.searches.take({0})
    world.drivers("a")
    request = await world.ask()
    why = await told(world, request)
    assert why["looks"] == []
    assert [each["driver_id"] for each in why["offers"]] == ["a"]


async def test_old_looks_are_forgotten_and_unknown_requests_are_not_found(world: World) -> None:
    with_explain(world, ExplainSettings(keep_s=60))
    await world.desk.searches.take({0})
    world.drivers("a", "b")
    old = await world.ask()
    assert await world.desk.explanations.purge() == 0
    await world.advance(61)
    world.drivers("c", "d")
    new = await world.ask("rdr_2")
    assert len((await told(world, new))["looks"]) == 1
    assert await world.desk.explanations.purge() > 0
    assert (await told(world, old))["looks"] == []
    assert len((await told(world, new))["looks"]) == 1
    with pytest.raises(NotFound):
        await world.desk.explanations.of("req_none")
