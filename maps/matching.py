"""Map matching, routes and isochrones as questions to Valhalla and what its answers mean. Pure: no process, no I/O.

Routes and isochrones weigh roads as the EtaIndex does, by time alone: Valhalla's penalties are switched off, and the
live speeds are used, which takes a date. With one that stands still at now they hold all along the way; without a date
they are ignored, closures too, and with one that moves on they fade within an hour before and after now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from core.geo import LatLng
from runtime.settings import MapSettings

NO_ROAD = -1  # among Traced.edges
_BREAKS = "begin_route_discontinuity"
_TRACED = (
    *("edge.id", "matched.edge_index", "matched.distance_along_edge", "matched.type"),
    *(f"matched.{_BREAKS}"),
)


_DEPARTS, _STANDS = 1, 3  # types of a date
_FADE_MINUTES = 60.0  # from now, before and after, until nothing is left of a live speed
_NO_PENALTIES = {
    **dict.fromkeys(
        (
            *("maneuver_penalty", "service_penalty", "destination_only_penalty", "gate_penalty"),
            *("private_access_penalty", "toll_booth_penalty", "country_crossing_penalty", "use_distance"),
        ),
        0,
    ),
    **dict.fromkeys(
        (
            *("service_factor", "alley_factor", "use_highways", "use_tolls", "use_ferry", "use_tracks"),
            "use_living_streets",
        ),
        1,
    ),
    "disable_hierarchy_pruning": True,
}


class MatchAsk(msgspec.Struct, frozen=True, tag="match"):
    """A trail to match: degrees and seconds of its pings, in order of time; lists of one length."""

    lat: list[float]
    lng: list[float]
    at_s: list[float]


class RouteAsk(msgspec.Struct, frozen=True, tag="route"):
    """A route to find; with what to tell the driver where `manoeuvres` is set."""

    start: LatLng
    end: LatLng
    manoeuvres: bool = False


class IsochroneAsk(msgspec.Struct, frozen=True, tag="isochrone"):
    """How far cars get from a place within so many minutes, where roads take so many times their free-flow time."""

    start: LatLng
    minutes: float
    slowdown: float = 1.0


class Part(msgspec.Struct, frozen=True):
    """A stretch of road that a trail followed without a break, from its ping number `first` to its ping `last`."""

    distance_m: float
    shape: list[LatLng]
    first: int
    last: int


class Matched(msgspec.Struct, frozen=True, tag="matched"):
    """The roads that a trail followed, in order; none where it fits no road."""

    parts: list[Part]


class TraceAsk(msgspec.Struct, frozen=True, tag="trace"):
    """A trail whose edges are wanted; as MatchAsk."""

    lat: list[float]
    lng: list[float]
    at_s: list[float]


class Traced(msgspec.Struct, frozen=True, tag="traced"):
    """The edges that a trail followed, by Valhalla's GraphId, and where on them its pings were; NO_ROAD is a gap.

    `places` has for each ping the number of its edge in `edges` and the share of the edge before it; None for a ping
    that is on no road, and where the car has hardly moved since the last one that has a place.
    """

    edges: list[int]
    places: list[tuple[int, float] | None]


class Manoeuvre(msgspec.Struct, frozen=True):
    """What a driver does next, in words, and the way from there to the next one.

    `at` is the place in the route's shape where it begins; `streets` are named as on the signs, none where the road has
    no name.
    """

    instruction: str
    kind: int
    streets: list[str]
    distance_m: float
    duration_s: float
    at: int


class Route(msgspec.Struct, frozen=True, tag="route"):
    """The way Valhalla would drive, with its costs of turns; no manoeuvres where they were not asked for."""

    distance_m: float
    duration_s: float
    shape: list[LatLng]
    manoeuvres: list[Manoeuvre] = []


class Isochrone(msgspec.Struct, frozen=True, tag="isochrone"):
    """An area as the coordinates of a GeoJSON MultiPolygon: polygons of rings of (lng, lat)."""

    coordinates: list[list[list[tuple[float, float]]]]


def match_question(ask: MatchAsk, settings: MapSettings) -> dict[str, Any]:
    """The `trace_route` request of a trail; a trail of too many pings is thinned evenly, its ends kept."""
    return _snap(ask, _asked_rows(len(ask.lat), settings), settings) | {"directions_type": "none"}


def _asked_rows(count: int, settings: MapSettings) -> list[int]:
    kept = min(count, settings.match_points)
    return [round(at * (count - 1) / (kept - 1)) for at in range(kept)]


def trace_question(ask: TraceAsk, settings: MapSettings) -> dict[str, Any]:
    """The `trace_attributes` request of a trail."""
    wanted = {"action": "include", "attributes": _TRACED}
    return _snap(ask, range(len(ask.lat)), settings) | {"filters": wanted}


def _snap(ask: MatchAsk | TraceAsk, rows: Sequence[int], settings: MapSettings) -> dict[str, Any]:
    start = ask.at_s[0]
    return {
        "shape": [{"lat": ask.lat[row], "lon": ask.lng[row], "time": ask.at_s[row] - start} for row in rows],
        "costing": "auto",
        "shape_match": "map_snap",
        "units": "kilometers",
        "trace_options": {
            "search_radius": settings.match_radius_m,
            "gps_accuracy": settings.match_accuracy_m,
            "breakage_distance": settings.match_break_m,
        },
    }


def read_match(answer: dict[str, Any], count: int, settings: MapSettings) -> Matched:
    """What a `trace_route` answer says of a trail of so many pings.

    Where the trail is broken, its later parts come as alternates of the first.
    """
    rows = _asked_rows(count, settings)
    parts = []
    for trip in (answer["trip"], *(other["trip"] for other in answer.get("alternates", ()))):
        shape = [point for leg in trip["legs"] for point in decode_shape(leg["shape"])]
        length_m = 1000.0 * sum(float(leg["summary"]["length"]) for leg in trip["legs"])
        first, last = (rows[int(trip["locations"][end]["original_index"])] for end in (0, -1))
        parts.append(Part(length_m, _without_repeats(shape), first, last))
    return Matched(sorted(parts, key=lambda part: part.first))


def read_trace(answer: dict[str, Any]) -> Traced:
    """What a `trace_attributes` answer says."""
    edges, places = list[int](), list[tuple[int, float] | None]()
    ids = [int(edge["id"]) for edge in answer["edges"]]
    number_of, gaps = list(range(len(ids))), 0
    breaks = {point.get("edge_index") for point in answer["matched_points"] if point.get(_BREAKS)}
    for number, graph_id in enumerate(ids):
        number_of[number] = number + gaps
        edges.append(graph_id)
        if number in breaks:
            edges.append(NO_ROAD)
            gaps += 1
    for point in answer["matched_points"]:
        number = point.get("edge_index", len(ids))
        known = point["type"] == "matched" and number < len(ids)
        places.append((number_of[number], float(point["distance_along_edge"])) if known else None)
    return Traced(edges, places)


def route_question(ask: RouteAsk, at: float) -> dict[str, Any]:
    """The `route` request between two points; `at` is the wall's time in seconds."""
    return {
        "locations": [{"lat": point.lat, "lon": point.lng} for point in (ask.start, ask.end)],
        "directions_type": "instructions" if ask.manoeuvres else "none",
        "units": "kilometers",
    } | _by_time(at, _STANDS)


def isochrone_question(ask: IsochroneAsk, at: float) -> dict[str, Any]:
    """The `isochrone` request of a place; `at` is the wall's time in seconds.

    Only a date that moves on is taken. So that the speeds fade least, it is now when half of the time is driven; less
    time is asked for by the share of the tiles' own speeds that gets into them.
    """
    faded = min(1.0, ask.minutes / 4 / _FADE_MINUTES)
    minutes = ask.minutes / (1 - faded + faded * max(1.0, ask.slowdown))
    return {
        "locations": [{"lat": ask.start.lat, "lon": ask.start.lng}],
        "contours": [{"time": round(minutes, 2)}],
        "polygons": True,
    } | _by_time(at - minutes * 60 / 2, _DEPARTS)


def _by_time(at: float, kind: int) -> dict[str, Any]:
    """Roads weighed by their times in force; tiles without time zones have UTC."""
    return {
        "costing": "auto",
        "costing_options": {"auto": _NO_PENALTIES},
        "date_time": {"type": kind, "value": time.strftime("%Y-%m-%dT%H:%M", time.gmtime(at))},
    }


def read_route(answer: dict[str, Any]) -> Route:
    """What a `route` answer says."""
    trip = answer["trip"]
    shape, manoeuvres = list[LatLng](), list[Manoeuvre]()
    for leg in trip["legs"]:
        manoeuvres += [
            Manoeuvre(
                instruction=each["instruction"],
                kind=each["type"],
                streets=each.get("street_names", []),
                distance_m=1000.0 * each["length"],
                duration_s=each["time"],
                at=len(shape) + each["begin_shape_index"],
            )
            for each in leg.get("maneuvers", ())
        ]
        shape += decode_shape(leg["shape"])
    summary = trip["summary"]
    return Route(1000.0 * float(summary["length"]), float(summary["time"]), shape, manoeuvres)


def read_isochrone(answer: dict[str, Any]) -> Isochrone:
    """What an `isochrone` answer says."""
    shapes = [feature["geometry"] for feature in answer["features"]]
    return Isochrone(
        [
            polygon
            for shape in shapes
            for polygon in (shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]])
        ]
    )


def decode_shape(encoded: str) -> list[LatLng]:
    """Points of an encoded polyline of six decimals (Google's polyline algorithm)."""
    numbers: list[int] = []
    value = shift = 0
    for char in encoded:
        chunk = ord(char) - 63
        value |= (chunk & 0x1F) << shift
        shift += 5
        if chunk < 0x20:
            numbers.append((value >> 1) ^ -(value & 1))
            value = shift = 0
    points, lat, lng = [], 0, 0
    for d_lat, d_lng in zip(numbers[::2], numbers[1::2], strict=True):
        lat, lng = lat + d_lat, lng + d_lng
        points.append(LatLng(lat / 1e6, lng / 1e6))
    return points


def _without_repeats(shape: list[LatLng]) -> list[LatLng]:
    return [point for at, point in enumerate(shape) if at == 0 or point != shape[at - 1]]
