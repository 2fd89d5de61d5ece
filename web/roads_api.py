"""Roads: what operators see of streets, close and open."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from web.auth import Ops
from web.edge import engine_of
from web.errors import responses
from web.idempotency import CreatingRoute, idempotency_key
from web.map_answers import ClosureCollection, RoadConditions
from web.ports import Body
from web.route import StrictRoute

router = APIRouter(tags=["maps"], route_class=StrictRoute)
creating = APIRouter(tags=["maps"], route_class=CreatingRoute, dependencies=[Depends(idempotency_key)])
audit = logging.getLogger("audit")


@router.get("/roads/closures", responses=responses(401, 403), response_model=ClosureCollection)
async def closures(_: Ops, request: Request) -> Body:
    """The closures in force as a GeoJSON FeatureCollection; `edges` says how many directed edges each closes."""
    return engine_of(request).closures.shown()


@router.get("/roads/conditions", responses=responses(401, 403, 422), response_model=RoadConditions)
async def conditions(
    _: Ops, request: Request, state: Annotated[Literal["congested", "good", "poor"] | None, Query()] = None
) -> Body:
    """What the cars' own pings tell of the streets, the clearest first."""
    return await engine_of(request).roads.conditions(state)


@creating.post(
    "/roads/closures", status_code=201, responses=responses(400, 401, 403, 409, 422), response_model=ClosureCollection
)
async def close(geojson: dict[str, Any], identity: Ops, request: Request) -> Body:
    """Close streets: a polygon those that touch it, a line those along it, with `direction` forward only its own.

    Nobody is led over them any more here from the answer on, and in every other process a moment later.
    """
    body = await engine_of(request).closures.put(geojson)
    audit.info(
        "streets were closed",
        extra={"operator": identity.subject, "closure_ids": [feature["id"] for feature in body["features"]]},
    )
    return body


@router.delete("/roads/closures/{closure_id}", status_code=204, responses=responses(401, 403, 404))
async def reopen(closure_id: str, identity: Ops, request: Request) -> Response:
    """Open the streets of a closure."""
    await engine_of(request).closures.remove(closure_id)
    audit.info("streets were opened", extra={"operator": identity.subject, "closure_ids": [closure_id]})
    return Response(status_code=204)
