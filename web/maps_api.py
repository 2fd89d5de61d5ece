"""The city's map: travel times, and the roads for the page."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from web.answers import EtaAnswer
from web.asks import place_of
from web.auth import Either
from web.edge import engine_of
from web.errors import responses
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
