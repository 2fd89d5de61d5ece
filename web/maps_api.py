"""The city's map: travel times, and the roads for the page."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from core.errors import FieldError, InvalidInput
from core.geo import LatLng
from web.asks import MatrixAsk, place_of
from web.auth import Either
from web.edge import edge_of, engine_of
from web.errors import responses
from web.map_answers import EtaAnswer, IsochroneAnswer, MatrixAnswer, RouteAnswer
from web.ports import Body
from web.roadmap import RoadMap
from web.route import StrictRoute

router = APIRouter(tags=["maps"], route_class=StrictRoute)


@router.get("/eta", responses=responses(401, 422), response_model=EtaAnswer)
async def eta(
    origin: Annotated[str, Query(alias="from", max_length=60, examples=["57.7041,11.9697"])],
    to: Annotated[str, Query(max_length=60)],
    _: Either,
    request: Request,
) -> Body:
    """The travel time along the roads between two places, each `lat,lng`."""
    travel = await engine_of(request).city.eta(place_of(origin, "from"), place_of(to, "to"))
    if not math.isfinite(travel.seconds):
        return {"duration_s": None, "distance_m": None}
    return {"duration_s": round(travel.seconds, 1), "distance_m": round(travel.metres, 1)}


@router.post("/eta/matrix", responses=responses(400, 401, 403, 422), response_model=MatrixAnswer)
async def matrix(ask: MatrixAsk, _: Either, request: Request) -> Body:
    """The travel times from each source to each target; at most `matrix_places` of either, `matrix_pairs` in all."""
    settings = edge_of(request).settings.web
    for field, places in (("sources", ask.sources), ("targets", ask.targets)):
        if len(places) > settings.matrix_places:
            raise _too_many(field, f"has {len(places)} places, at most {settings.matrix_places} are allowed")
    pairs = len(ask.sources) * len(ask.targets)
    if pairs > settings.matrix_pairs:
        raise _too_many("sources", f"times targets are {pairs} pairs, at most {settings.matrix_pairs} are allowed")
    sources, targets = ([point.place() for point in points] for points in (ask.sources, ask.targets))
    return await engine_of(request).city.matrix(sources, targets)


@router.get("/routes", responses=responses(401, 403, 422, 503, 504), response_model=RouteAnswer)
async def route(
    origin: Annotated[str, Query(alias="from", max_length=60, examples=["57.7041,11.9697"])],
    to: Annotated[str, Query(max_length=60)],
    _: Either,
    request: Request,
    manoeuvres: bool = False,
) -> Body:
    """The fastest way between two places, each `lat,lng`: its line, and the streets that it takes in order.

    With `manoeuvres` also what the driver has to do where; the way and its times are then Valhalla's, by the same times
    of the roads.
    """
    city = engine_of(request).city
    return await city.route(place_of(origin, "from"), place_of(to, "to"), manoeuvres=manoeuvres)


@router.get("/isochrone", responses=responses(401, 403, 422, 503, 504), response_model=IsochroneAnswer)
async def isochrone(
    lat: float, lng: float, minutes: Annotated[float, Query(ge=1)], _: Either, request: Request
) -> Body:
    """The area that a car reaches from a place within so many minutes, at most `isochrone_minutes`."""
    most = edge_of(request).settings.web.isochrone_minutes
    if minutes > most:
        detail = f"must be at most {most:g}"
        raise InvalidInput(f"minutes {detail}", code="isochrone_too_large", errors=(FieldError("minutes", detail),))
    return await engine_of(request).city.isochrone(LatLng.checked(lat, lng, "lat"), minutes)


def _too_many(field: str, detail: str) -> InvalidInput:
    return InvalidInput(f"{field} {detail}", code="too_many_places", errors=(FieldError(field, detail),))


@router.get("/map/roads", response_class=Response, responses={304: {"description": "Not changed"}})
async def roads(request: Request) -> Response:
    """The city's streets for drawing; see web/roadmap.py for the form. No token: this is public map data."""
    road_map: RoadMap = request.app.state.road_map
    drawn = await road_map.drawn()
    headers = {"ETag": drawn.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if drawn.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(drawn.packed, media_type="application/json", headers={**headers, "Content-Encoding": "gzip"})
    return Response(drawn.plain, media_type="application/json", headers=headers)
