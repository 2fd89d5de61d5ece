"""What callers get of the map, as OpenAPI shows it: zones, segments, closures, ways."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from web.answers import Answer


class GeoJson(Answer):
    """A GeoJSON object; coordinates are lng, lat."""

    type: str


class ZoneCollection(GeoJson):
    """Zones as GeoJSON features; properties: kind, name, source (pack, ops or roads); by kind pickup_points, surge."""

    features: list[GeoJson]
    version: int


class ClosureCollection(GeoJson):
    """Closures as GeoJSON features; properties: name, direction (of a line: both or forward), edges."""

    features: list[GeoJson]
    version: int


class RoadConditions(Answer):
    """Streets as GeoJSON features; properties: state, name, class, usual, now, cars_per_km, evidence_s."""

    type: str
    features: list[GeoJson]


class SegmentAnswer(Answer):
    """The segment of a place and its neighbours, as H3 cells."""

    segment: str
    resolution: int
    neighbours: list[str]
    version: int


class SegmentCollection(GeoJson):
    """Segments as GeoJSON features; properties: segment, resolution, version, pinned, supply, demand, surge."""

    features: list[GeoJson]
    version: int


class SegmentsCut(Answer):
    """What a segment became, as H3 cells, and the version of the table since then."""

    segments: list[str]
    version: int


class EtaAnswer(BaseModel):
    """The fastest way along the roads; null where there is none."""

    duration_s: float | None
    distance_m: float | None


class MatrixAnswer(BaseModel):
    """The fastest ways: a row for each source, in it a number for each target; null where there is no way.

    `off_road` numbers the places that are too far from every road, which have no ways.
    """

    durations_s: list[list[float | None]]
    distances_m: list[list[float | None]]
    off_road: dict[Literal["sources", "targets"], list[int]]


class RouteStep(BaseModel):
    """A part of a way along one street; `name` is empty where the street has none."""

    name: str
    distance_m: float
    duration_s: float


class ManoeuvreAnswer(BaseModel):
    """What a driver does next, in English, and the way from there to the next one.

    `at` numbers the position in the geometry where it begins; `kind` is Valhalla's number of the type of manoeuvre.
    """

    instruction: str
    kind: int
    streets: list[str]
    distance_m: float
    duration_s: float
    at: int


class RouteAnswer(BaseModel):
    """The fastest way, from where the start meets the road to where the end does; GeoJSON geometry.

    `manoeuvres` is empty where they were not asked for.
    """

    distance_m: float
    duration_s: float
    geometry: dict[str, Any]
    steps: list[RouteStep]
    manoeuvres: list[ManoeuvreAnswer] = []


class IsochroneProperties(BaseModel):
    """Of which time an isochrone is."""

    minutes: float


class IsochroneAnswer(BaseModel):
    """The area that a car reaches in time, as a GeoJSON feature with a MultiPolygon."""

    type: Literal["Feature"]
    properties: IsochroneProperties
    geometry: dict[str, Any]
