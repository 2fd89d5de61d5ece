"""Explanations: why a request got the driver it got, or none, from what was kept of its looks."""

from __future__ import annotations

from typing import Any

import msgspec

from core.clock import Clock, rfc3339
from core.errors import NotFound
from dispatch.explain import Look
from dispatch.model import Offer
from dispatch.ports import Store
from runtime.explain_settings import ExplainSettings

_AT_ONCE = 500  # looks that one transaction forgets


class Explanations:
    """Tells operators what decisions saw, as long as that is kept."""

    def __init__(self, store: Store, settings: ExplainSettings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def of(self, request_id: str) -> dict[str, Any]:
        """GET /ride-requests/{id}/explain. Raises NotFound."""
        found = await self._store.request_and_offers(request_id)
        if found is None:
            raise NotFound(f"there is no ride request {request_id}")
        request, offers = found
        return {
            "request_id": request.request_id,
            "status": request.status,
            "mode": request.mode,
            "trip_id": request.trip_id,
            "offers": [_offer_body(offer) for offer in offers],
            "looks": [_look_body(look) for look in await self._store.looks_of(request_id)],
        }

    async def purge(self) -> int:
        """Forget looks of `keep_s` ago, in small transactions; how many."""
        gone, before = 0, self._clock.now() - self._settings.keep_s
        while (some := await self._store.forget_looks(before, _AT_ONCE)) == _AT_ONCE:
            gone += some
        return gone + some


def _offer_body(offer: Offer) -> dict[str, Any]:
    """One that was made, and how it ended."""
    return {
        "offer_id": offer.offer_id,
        "driver_id": offer.driver_id,
        "status": offer.status,
        "reason": offer.reason,
        "why": offer.why,
        "made_at": rfc3339(offer.made_at),
        "ended_at": None if offer.ended_at is None else rfc3339(offer.ended_at),
    }


def _look_body(look: Look) -> dict[str, Any]:
    return {
        "look_id": look.look_id,
        "at": rfc3339(look.at),
        "mode": look.mode,
        "weights": msgspec.to_builtins(look.weights),
        "counts": look.counts,
        "candidates": msgspec.to_builtins(look.drivers),
        "left_out": look.left_out,
    }
