"""What riders ask: their account, cabs nearby, a price, a ride."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from core.errors import Forbidden
from core.geo import LatLng
from runtime.answers import FirstAnswer
from runtime.auth import Identity
from web.answers import CabList, QuoteAnswer, RiderAnswer, RideRequestAnswer, TripList
from web.asks import CancelAsk, Lat, Lng, NewRider, QuoteAsk, RiderChange, RideRequestAsk, changes_of, page
from web.auth import Anyone, Either, Rider, own, party, shown_to
from web.edge import engine_of
from web.errors import responses
from web.idempotency import CreatingRoute, first_answer, idempotency_key, request_id_of
from web.ports import Body, Page, RideAsk
from web.route import StrictRoute

router = APIRouter(tags=["riders"], route_class=StrictRoute)
creating = APIRouter(tags=["riders"], route_class=CreatingRoute, dependencies=[Depends(idempotency_key)])

MAX_CABS = 50


@creating.post("/riders", status_code=201, responses=responses(400, 401, 403, 409, 422), response_model=RiderAnswer)
async def create_rider(ask: NewRider, _: Anyone, request: Request) -> Body:
    """Sign a rider up."""
    return await engine_of(request).accounts.create_rider(ask.model_dump(by_alias=True))


@router.get("/riders/{rider_id}", responses=responses(401, 403, 404), response_model=RiderAnswer)
async def get_rider(rider_id: str, identity: Rider, request: Request) -> Body:
    """A rider's account."""
    own(identity, rider_id, "rider")
    return await engine_of(request).accounts.rider(rider_id)


@router.patch("/riders/{rider_id}", responses=responses(400, 401, 403, 404, 409, 422), response_model=RiderAnswer)
async def change_rider(rider_id: str, ask: RiderChange, identity: Rider, request: Request) -> Body:
    """Change a rider's account; the class by operators only."""
    own(identity, rider_id, "rider")
    return await engine_of(request).accounts.change_rider(rider_id, changes_of(ask), identity.scope == "ops")


@router.get(
    "/riders/{rider_id}/trips",
    responses=responses(401, 403, 404, 422),
    response_model=TripList,
    response_model_exclude_unset=True,
)
async def rider_trips(rider_id: str, identity: Rider, page: Annotated[Page, Depends(page)], request: Request) -> Body:
    """A rider's trips, running and archived, newest first."""
    own(identity, rider_id, "rider")
    listed = await engine_of(request).trips.of_rider(rider_id, page)
    return {"items": [shown_to(identity, trip) for trip in listed.items], "next_cursor": listed.next_cursor}


@router.get("/cabs", responses=responses(401, 422), response_model=CabList)
async def cabs_near(
    lat: Lat, lng: Lng, _: Either, request: Request, limit: Annotated[int, Query(ge=1, le=MAX_CABS)] = 10
) -> Body:
    """Cabs nearby, nearest by road first."""
    return {"items": await engine_of(request).cabs.near(LatLng(lat, lng), limit)}


@creating.post("/quotes", status_code=201, responses=responses(400, 401, 403, 409, 422), response_model=QuoteAnswer)
async def create_quote(ask: QuoteAsk, identity: Rider, request: Request) -> Body:
    """A price that holds for a while."""
    rider_id = ask.rider_id or identity.subject
    own(identity, rider_id, "rider")
    return await engine_of(request).quotes.quote(rider_id, ask.pickup.place(), ask.dropoff.place())


@creating.post(
    "/ride-requests",
    status_code=201,
    responses=responses(400, 401, 403, 404, 409, 422),
    response_model=RideRequestAnswer,
)
async def request_ride(
    ask: RideRequestAsk, identity: Rider, request: Request, key: Annotated[str | None, Depends(idempotency_key)]
) -> Any:
    """Ask for a ride; the search starts at once."""
    own(identity, ask.rider_id, "rider")
    if ask.mode is not None and identity.scope != "ops":
        raise Forbidden("only operators choose the mode")
    first = first_answer(request)
    body = await engine_of(request).rides.request(ride_ask(ask, key, identity, first))
    if first is None or not first.kept:
        return body
    return Response(first.answer.body, status_code=first.answer.status, media_type="application/json")


def ride_ask(ask: RideRequestAsk, key: str | None, by: Identity, first: FirstAnswer | None) -> RideAsk:
    """The ask in the rooms' words; its caller's idempotency key decides the request's id."""

    def answer(body: Body) -> FirstAnswer:
        assert first is not None
        return first.say(201, answer_json(body))

    return RideAsk(
        rider_id=ask.rider_id,
        pickup=ask.pickup.place(),
        dropoff=ask.dropoff.place(),
        quote_id=ask.quote_id,
        mode=ask.mode,
        vehicle_class=ask.vehicle_class,
        seats=ask.seats,
        request_id=request_id_of(by, ask.rider_id, key) if key else None,
        by_ops=by.scope == "ops",
        answer=None if first is None else answer,
    )


def answer_json(body: Body) -> str:
    """A ride request as it is answered."""
    return RideRequestAnswer.model_validate(body).model_dump_json(by_alias=True)


@router.get("/ride-requests/{request_id}", responses=responses(401, 403, 404), response_model=RideRequestAnswer)
async def get_ride_request(request_id: str, identity: Rider, request: Request) -> Body:
    """How a ride request stands."""
    body = await engine_of(request).rides.get(request_id)
    own(identity, body["rider_id"], "ride request")
    return body


@router.post(
    "/ride-requests/{request_id}/cancel",
    responses=responses(400, 401, 403, 404, 409, 422),
    response_model=RideRequestAnswer,
)
async def cancel_ride_request(request_id: str, identity: Rider, request: Request, _: CancelAsk | None = None) -> Body:
    """Call a ride request off; repeating is harmless."""
    rides = engine_of(request).rides
    body = await rides.get(request_id)
    own(identity, body["rider_id"], "ride request")
    return await rides.cancel(request_id, party(identity))
