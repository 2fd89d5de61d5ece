"""The live engine's decision, for the simulator: the same filters, ranking and modes over arrays of idle cabs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.geo import IntArray, haversine_many_m
from dispatch.candidates import reach_m, shortlist
from dispatch.decide import decide
from dispatch.matching import Pairs, match
from dispatch.model import ONLINE, Ask, PickupTravel, Policy, ProfileRows, SupplyRows
from dispatch.modes import places
from payments.fares import fare, tariff_of
from runtime.settings import Settings
from simulator.ports import Cabs, Offers, Rules, Search, TravelToPickup


class LiveDecider:
    """simulator's Decider. A simulated cab is online, idle and fresh; nothing is known of its driver."""

    def __init__(self, settings: Settings) -> None:
        self._policy = Policy.of(settings.dispatch, settings.location.fresh_s)

    def __call__(self, search: Search, cabs: Cabs, travel: TravelToPickup) -> Offers:
        policy = replace(self._policy, max_pickup_eta_s=search.max_pickup_s)
        ask = Ask(now=0.0, mode=search.mode, free=places(search.mode, policy))
        away_m = haversine_many_m(cabs.lat, cabs.lng, search.pickup)
        rows: IntArray = np.flatnonzero(away_m <= reach_m(away_m, policy))
        listed = shortlist(_supply(cabs, rows), ask, policy)
        way = travel(rows)
        unknown = np.full(len(rows), np.nan)
        decision = decide(ask, listed, PickupTravel(way.seconds, way.metres), ProfileRows(unknown, unknown), policy)
        row_of = dict(zip(listed.rows.driver.tolist(), rows.tolist(), strict=True))
        return Offers(
            np.array([row_of[choice.driver] for choice in decision.chosen], dtype=np.int64),
            np.array([choice.pickup_eta_s for choice in decision.chosen]),
            np.array([choice.pickup_distance_m for choice in decision.chosen]),
        )


def rules(settings: Settings) -> Rules:
    """What the live engine would do and take, for a simulation."""
    tariff = tariff_of(settings.fares)
    return Rules(
        decide=LiveDecider(settings),
        match=lambda first, cab, cost, leaving, cabs: match(Pairs(first, cab, cost), leaving, cabs),
        fare=lambda distance_m, duration_s: fare(tariff, distance_m, duration_s).amount_minor,
    )


def _supply(cabs: Cabs, rows: IntArray) -> SupplyRows:
    now = np.zeros(len(rows))
    return SupplyRows(
        driver=cabs.driver[rows],
        lat=cabs.lat[rows],
        lng=cabs.lng[rows],
        seen_at=now,
        idle_since=-cabs.idle_s[rows],
        flags=np.full(len(rows), ONLINE, dtype=np.int64),
        vehicle_class=np.full(len(rows), "", dtype="U1"),
        seats=np.zeros(len(rows), dtype=np.int64),
    )
