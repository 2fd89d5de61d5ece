"""Road conditions: what the cars' own pings tell an operator of each street."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from core.geo import FloatArray
from maps.roads import ROAD_CLASSES, RoadGraph
from maps.traffic import Conditions, Traffic
from runtime.traffic_settings import TrafficSettings

State = Literal["congested", "good", "poor"]
STATES: tuple[State, ...] = get_args(State)


def judged(seen: Conditions, settings: TrafficSettings) -> dict[State, FloatArray]:
    """For each state how strongly edges are in it, 0 where they are not; arrays of shape (edges,).

    congested: slower than usual with many of our cars on it; good: faster than its class whenever it was driven; poor:
    slower than its class although few cars are on it, so for its surface, width or lights.
    """
    known = seen.evidence_s >= settings.least_evidence_s
    crowded = seen.cars_per_km >= settings.congested_cars_per_km
    return {
        "congested": np.where(crowded & (seen.now >= settings.congested_ratio), seen.now, 0.0),
        "good": np.where(known & (seen.usual <= settings.good_ratio), 1.0 / seen.usual, 0.0),
        "poor": np.where(known & ~crowded & (seen.usual >= settings.poor_ratio), seen.usual, 0.0),
    }


def conditions_of(
    roads: RoadGraph, traffic: Traffic, at_s: float, state: State | None, most: int
) -> list[Mapping[str, Any]]:
    """The streets in a state, or in any, as GeoJSON Features, the clearest first; at most `most`."""
    seen = traffic.conditions(at_s)
    rows = [
        (strength, int(edge), name)
        for name, strengths in judged(seen, traffic.settings).items()
        if state in (None, name)
        for edge in np.flatnonzero(strengths)
        for strength in (float(strengths[edge]),)
    ]
    rows.sort(reverse=True)
    return [_feature(roads, seen, edge, name) for _, edge, name in rows[:most]]


def _feature(roads: RoadGraph, seen: Conditions, edge: int, state: State) -> Mapping[str, Any]:
    points = slice(int(roads.point_at[edge]), int(roads.point_at[edge + 1]))
    line = np.round(np.column_stack([roads.point_lng[points], roads.point_lat[points]]), 6).tolist()
    return {
        "type": "Feature",
        "id": str(edge),
        "geometry": {"type": "LineString", "coordinates": line},
        "properties": {
            "state": state,
            "name": roads.names[roads.name[edge]],
            "class": ROAD_CLASSES[roads.road_class[edge]],
            "usual": round(float(seen.usual[edge]), 2),
            "now": round(float(seen.now[edge]), 2),
            "cars_per_km": round(float(seen.cars_per_km[edge]), 2),
            "evidence_s": round(float(seen.evidence_s[edge])),
        },
    }
