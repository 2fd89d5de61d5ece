"""What only operators ask."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime

from core.errors import FieldError, InvalidInput
from web.answers import TrackAnswer
from web.auth import Ops
from web.edge import engine_of
from web.errors import responses
from web.explain_answers import ExplainAnswer
from web.ports import Body
from web.route import StrictRoute

router = APIRouter(tags=["ops"], route_class=StrictRoute)
audit = logging.getLogger("audit")

MAX_TRACK_S = 86_400.0


@router.get("/drivers/{driver_id}/track", responses=responses(401, 403, 404, 422), response_model=TrackAnswer)
async def driver_track(
    driver_id: str,
    identity: Ops,
    request: Request,
    start: Annotated[AwareDatetime, Query(alias="from")],
    end: Annotated[AwareDatetime, Query(alias="to")],
) -> Body:
    """Stored positions of a driver with from <= time < to, at most a day; who looked is written to the audit log."""
    _check_span(start, end)
    details = {"operator": identity.subject, "driver_id": driver_id, "from": start.isoformat(), "to": end.isoformat()}
    audit.info("a driver's track was looked at", extra=details)
    return await engine_of(request).tracks.track(driver_id, start.timestamp(), end.timestamp())


@router.get(
    "/ride-requests/{request_id}/explain",
    responses=responses(401, 403, 404),
    response_model=ExplainAnswer,
    response_model_exclude_unset=True,
)
async def explain_ride_request(request_id: str, _: Ops, request: Request) -> Body:
    """Every candidate of a ride request: features, score, rank, and what dropped them or why they lost."""
    return await engine_of(request).rides.explain(request_id)


def _check_span(start: datetime, end: datetime) -> None:
    span_s = (end - start).total_seconds()
    if not 0 < span_s <= MAX_TRACK_S:
        detail = f"must be after from, by {MAX_TRACK_S:.0f} s at most"
        raise InvalidInput(f"to {detail}", errors=(FieldError("to", detail),))
