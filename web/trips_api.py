"""One trip: how it stands, calling it off, rating it, the way driven."""

from __future__ import annotations

from fastapi import APIRouter, Request

from web.answers import TripAnswer
from web.asks import CancelAsk, RateAsk
from web.auth import Either, own_trip, shown_to
from web.edge import engine_of
from web.errors import responses
from web.map_answers import GeoJson
from web.ports import Body
from web.route import StrictRoute

router = APIRouter(tags=["trips"], prefix="/trips/{trip_id}", route_class=StrictRoute)


@router.get("", responses=responses(401, 403, 404), response_model=TripAnswer, response_model_exclude_unset=True)
async def get_trip(trip_id: str, identity: Either, request: Request) -> Body:
    """How a trip stands."""
    body = await engine_of(request).trips.get(trip_id, identity)
    own_trip(identity, body)
    return shown_to(identity, body)


@router.post(
    "/cancel",
    responses=responses(400, 401, 403, 404, 409, 422),
    response_model=TripAnswer,
    response_model_exclude_unset=True,
)
async def cancel_trip(trip_id: str, identity: Either, request: Request, ask: CancelAsk | None = None) -> Body:
    """Call a trip off before the rider is on board; repeating is harmless."""
    await get_trip(trip_id, identity, request)
    return await engine_of(request).trips.cancel(trip_id, identity, ask.reason if ask else "")


@router.post(
    "/rate",
    responses=responses(400, 401, 403, 404, 409, 422),
    response_model=TripAnswer,
    response_model_exclude_unset=True,
)
async def rate_trip(trip_id: str, ask: RateAsk, identity: Either, request: Request) -> Body:
    """Rate the other side of a completed trip."""
    await get_trip(trip_id, identity, request)
    return await engine_of(request).trips.rate(trip_id, identity, ask.stars)


@router.get("/trail", responses=responses(401, 403, 404), response_model=GeoJson)
async def trip_trail(trip_id: str, identity: Either, request: Request) -> Body:
    """The way driven, as GeoJSON with `distance_m`."""
    await get_trip(trip_id, identity, request)
    return await engine_of(request).trips.trail(trip_id)
