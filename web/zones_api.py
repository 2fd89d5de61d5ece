"""Zones: what operators see of them and change."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from web.auth import Ops
from web.edge import engine_of
from web.errors import responses
from web.idempotency import CreatingRoute, idempotency_key
from web.map_answers import ZoneCollection
from web.ports import Body
from web.route import StrictRoute

router = APIRouter(tags=["maps"], route_class=StrictRoute)
creating = APIRouter(tags=["maps"], route_class=CreatingRoute, dependencies=[Depends(idempotency_key)])
audit = logging.getLogger("audit")


@router.get("/zones", responses=responses(401, 403), response_model=ZoneCollection)
async def zones(_: Ops, request: Request) -> Body:
    """The zones in force as a GeoJSON FeatureCollection, those of the city's pack and those of operators."""
    return engine_of(request).zones.shown()


@creating.post("/zones", status_code=201, responses=responses(400, 401, 403, 409, 422), response_model=ZoneCollection)
async def put_zones(geojson: dict[str, Any], identity: Ops, request: Request) -> Body:
    """Add the zones of a GeoJSON Feature or FeatureCollection; one with the id of another replaces it.

    They are in force here on the answer, and in every other process a moment later.
    """
    body = await engine_of(request).zones.put(geojson)
    audit.info("zones were changed", extra={"operator": identity.subject, "zone_ids": _ids(body)})
    return body


@router.delete("/zones/{zone_id}", status_code=204, responses=responses(401, 403, 404, 409))
async def remove_zone(zone_id: str, identity: Ops, request: Request) -> Response:
    """Take a zone out, also one of the city's pack."""
    await engine_of(request).zones.remove(zone_id)
    audit.info("a zone was removed", extra={"operator": identity.subject, "zone_ids": [zone_id]})
    return Response(status_code=204)


def _ids(body: Body) -> list[str]:
    return [feature["id"] for feature in body["features"]]
