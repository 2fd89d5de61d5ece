"""Telling riders and drivers what a commit changed. A message that cannot be sent never undoes anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from dispatch.model import Offer, RideRequest
from dispatch.ports import Delivery
from dispatch.settle import Change
from dispatch.views import offer_closed_message, offer_message, request_message

_log = logging.getLogger("hexcab.dispatch")


class Teller:
    """Sends what the contract promises, over whatever way to the apps there is."""

    def __init__(self, delivery: Delivery, timeout_s: float) -> None:
        self._delivery = delivery
        self._timeout_s = timeout_s

    async def changed(self, change: Change) -> None:
        """Tell the rider of a new status, and the drivers whose offers ended without their doing."""
        if change.request.status != change.was:
            await self.request(change.request)
        for offer in change.ended:
            if offer.status in ("accepted_elsewhere", "expired", "cancelled"):
                await self._send(offer.driver_id, offer_closed_message(offer.offer_id, offer.status))

    async def request(self, request: RideRequest) -> None:
        """Tell the rider where the request stands."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._delivery.tell_rider(request.rider_id, request_message(request))
        except Exception:
            _log.warning("the rider could not be told", exc_info=True, extra={"status": request.status})

    async def offers(self, offers: Sequence[Offer], request: RideRequest) -> list[Offer]:
        """Hand each offer to its driver, all at once; returns those that did not arrive."""
        arrived = await asyncio.gather(
            *(self._send(offer.driver_id, offer_message(offer, request)) for offer in offers)
        )
        return [offer for offer, has_arrived in zip(offers, arrived, strict=True) if not has_arrived]

    async def _send(self, driver_id: str, message: dict[str, object]) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._delivery.deliver(driver_id, message)
        except Exception:
            _log.warning("a driver could not be told", exc_info=True, extra={"driver_id": driver_id})
            return False
