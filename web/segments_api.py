"""Segments: where they are, and how operators cut them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from core.geo import LatLng
from maps.segments import parse
from web.asks import Lat, Lng, box_of
from web.auth import Either, Ops
from web.edge import engine_of
from web.errors import responses
from web.map_answers import SegmentAnswer, SegmentCollection, SegmentsCut
from web.ports import Body
from web.route import StrictRoute
from web.segments import Load, located, names, segments_geojson, supply_of

router = APIRouter(tags=["maps"], route_class=StrictRoute)
audit = logging.getLogger("audit")

Name = Annotated[str, Path(max_length=20, examples=["881f25a9a3fffff"])]
_REFUSALS = (401, 403, 404, 409, 422, 429)


@router.get("/segments", responses=responses(401, 422), response_model=SegmentCollection)
async def segments(bbox: Annotated[str, Query(max_length=120)], _: Either, request: Request) -> Body:
    """The segments of a box `west,south,east,north`, as GeoJSON with supply, demand, surge, resolution and version."""
    engine = engine_of(request)
    box, fleet, demand = box_of(bbox), await engine.fleet.snapshot(), await engine.fleet.demand()
    table = engine.segments.newest
    return segments_geojson(box, table, Load(supply_of(fleet, table), demand, engine.fleet.surge_at))


@router.get("/segments/locate", responses=responses(401, 422), response_model=SegmentAnswer)
async def locate(lat: Lat, lng: Lng, _: Either, request: Request) -> Body:
    """The segment of a place, and those that share a border with it."""
    return located(LatLng(lat, lng), engine_of(request).segments)


@router.post("/segments/{segment}/split", responses=responses(*_REFUSALS), response_model=SegmentsCut)
async def split(segment: Name, identity: Ops, request: Request) -> Body:
    """Put the children of a segment in its place; they are pinned."""
    return await _cut(request, identity.subject, segment, engine_of(request).segments.split, "split")


@router.post("/segments/{segment}/merge", responses=responses(*_REFUSALS), response_model=SegmentsCut)
async def merge(segment: Name, identity: Ops, request: Request) -> Body:
    """Put the parent of a segment in the place of all segments within the parent; it is pinned."""
    return await _cut(request, identity.subject, segment, engine_of(request).segments.merge, "merged")


@router.post("/segments/{segment}/pin", responses=responses(*_REFUSALS), response_model=SegmentsCut)
async def pin(segment: Name, identity: Ops, request: Request) -> Body:
    """From now on only operators split or merge this segment."""
    return await _cut(request, identity.subject, segment, engine_of(request).segments.pin, "pinned")


@router.post("/segments/{segment}/unpin", responses=responses(*_REFUSALS), response_model=SegmentsCut)
async def unpin(segment: Name, identity: Ops, request: Request) -> Body:
    """From now on the load splits and merges this segment again."""
    return await _cut(request, identity.subject, segment, engine_of(request).segments.unpin, "unpinned")


async def _cut(
    request: Request, operator: str, name: str, change: Callable[[int], Awaitable[Sequence[int]]], done: str
) -> Body:
    became = names(await change(parse(name)))
    version = engine_of(request).segments.newest.version
    audit.info(f"a segment was {done}", extra={"operator": operator, "segment": name, "version": version})
    return {"segments": became, "version": version}
