"""What drivers ask over HTTP: their account and their trips. Their work itself goes over the gateway's socket."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from web.answers import DriverAnswer, TripList
from web.asks import DriverChange, NewDriver, changes_of, page
from web.auth import Anyone, Driver, own, shown_to
from web.edge import engine_of
from web.errors import responses
from web.idempotency import CreatingRoute, idempotency_key
from web.ports import Body, Page
from web.route import StrictRoute

router = APIRouter(tags=["drivers"], route_class=StrictRoute)
creating = APIRouter(tags=["drivers"], route_class=CreatingRoute, dependencies=[Depends(idempotency_key)])


@creating.post("/drivers", status_code=201, responses=responses(400, 401, 403, 409, 422), response_model=DriverAnswer)
async def create_driver(ask: NewDriver, identity: Anyone, request: Request) -> Body:
    """Sign a driver up; created by operators they are approved at once."""
    approved = identity is not None and identity.scope == "ops"
    return await engine_of(request).accounts.create_driver(ask.model_dump(by_alias=True), approved)


@router.get("/drivers/{driver_id}", responses=responses(401, 403, 404), response_model=DriverAnswer)
async def get_driver(driver_id: str, identity: Driver, request: Request) -> Body:
    """A driver's account."""
    own(identity, driver_id, "driver")
    return await engine_of(request).accounts.driver(driver_id)


@router.patch("/drivers/{driver_id}", responses=responses(400, 401, 403, 404, 409, 422), response_model=DriverAnswer)
async def change_driver(driver_id: str, ask: DriverChange, identity: Driver, request: Request) -> Body:
    """Change a driver's account; the status and the car by operators only."""
    own(identity, driver_id, "driver")
    by_ops = identity.scope == "ops"
    return await engine_of(request).accounts.change_driver(driver_id, changes_of(ask), by_ops)


@router.get(
    "/drivers/{driver_id}/trips",
    responses=responses(401, 403, 404, 422),
    response_model=TripList,
    response_model_exclude_unset=True,
)
async def driver_trips(
    driver_id: str, identity: Driver, page: Annotated[Page, Depends(page)], request: Request
) -> Body:
    """A driver's trips, running and archived, newest first."""
    own(identity, driver_id, "driver")
    listed = await engine_of(request).trips.of_driver(driver_id, page)
    return {"items": [shown_to(identity, trip) for trip in listed.items], "next_cursor": listed.next_cursor}
