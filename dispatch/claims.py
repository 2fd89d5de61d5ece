"""Claims: a driver whom a search has chosen is passed by by every other search, before SQL has to refuse.

SQL decides who holds a driver; a claim only spares the others a look that would be in vain. So claims may be lost, and
while the shared ones are away those of this process have to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from core.clock import Clock
from core.errors import Unavailable
from dispatch.model import Offer
from dispatch.ports import SharedClaims
from runtime.settings import DispatchSettings

_log = logging.getLogger("hexcab.dispatch")

_ELSEWHERE = ""  # in place of an offer of ours


class Claims:
    """The claims of this process, and its part in those of all workers; `shared` is None where there are no others.

    A claim ends with its offer, at the latest at the offer's deadline, so a forgotten one hurts nobody. `unshared`
    counts the drivers who were chosen while the shared claims were away.
    """

    def __init__(self, shared: SharedClaims | None, settings: DispatchSettings, clock: Clock) -> None:
        self.unshared = 0
        self.settings = settings
        self._shared = shared
        self._settings = settings
        self._clock = clock
        self._held: dict[str, tuple[str, float]] = {}  # by driver: offer, until when
        self._on_end: Callable[[str], None] = lambda _: None
        self._pause_until = 0.0  # of the event loop's time: the shared claims are left alone

    def on_end(self, call: Callable[[str], None]) -> None:
        """Call this with each driver whose claim ends before its time."""
        self._on_end = call

    def held(self, now: float) -> AbstractSet[str]:
        """The drivers claimed at this moment, as far as this process knows."""
        for driver_id in [driver_id for driver_id, (_, until) in self._held.items() if until <= now]:
            del self._held[driver_id]
        return self._held.keys()

    async def hold(self, offers: Sequence[Offer]) -> bool:
        """Claim the drivers of these offers, all or none; False when another worker holds one of them."""
        self._held.update({offer.driver_id: (offer.offer_id, offer.expires_at) for offer in offers})
        lost = await self._take(offers)
        if not lost:
            return True
        await self.release(offers)
        until = self._clock.now() + self._settings.retry_s
        self._held.update(dict.fromkeys(lost, (_ELSEWHERE, until)))
        return False

    async def release(self, offers: Sequence[Offer]) -> None:
        """These offers have ended, or were never made. Who did not want one is left alone for a moment."""
        self.ended(offers)
        kept: defaultdict[float, list[Offer]] = defaultdict(list)
        for offer in offers:
            kept[self._cools_for(offer)].append(offer)
        for keep_s, some in kept.items():
            await self._end(some, keep_s)

    def ended(self, offers: Sequence[Offer]) -> None:
        """These offers have ended, and whoever ended them has told the other workers."""
        for offer in offers:
            if self._held.get(offer.driver_id, ("", 0.0))[0] != offer.offer_id:
                continue
            if (left_s := self._cools_for(offer)) > 0:
                self._held[offer.driver_id] = (offer.offer_id, self._clock.now() + left_s)
            else:
                del self._held[offer.driver_id]
                self._on_end(offer.driver_id)

    def pass_by(self, driver_id: str) -> None:
        """The driver cannot take a trip, whatever the supply says: for a moment this process looks at others."""
        self._held[driver_id] = (_ELSEWHERE, self._clock.now() + self._settings.busy_shown_s)

    async def shorten(self, offer: Offer) -> None:
        """The offer was accepted: soon the supply itself says whether the driver is busy."""
        busy_shown_s = self._settings.busy_shown_s
        offer_id, held_until = self._held.get(offer.driver_id, ("", 0.0))
        if offer_id == offer.offer_id:
            self._held[offer.driver_id] = (offer_id, min(held_until, self._clock.now() + busy_shown_s))
        await self._end([offer], min(busy_shown_s, max(0.0, offer.expires_at - self._clock.now())))

    def _cools_for(self, offer: Offer) -> float:
        """How much longer the driver of an offer that has ended is to be left alone."""
        if offer.status not in ("declined", "expired") or offer.ended_at is None:
            return 0.0
        return max(0.0, offer.ended_at + self._settings.cool_down_s - self._clock.now())

    async def _take(self, offers: Sequence[Offer]) -> set[str]:
        if self._shared is None:
            return set()
        keep_s = max((offer.expires_at for offer in offers), default=0.0) - self._clock.now()
        if not self._paused():
            try:
                async with asyncio.timeout(self._settings.claim_timeout_s):
                    return await self._shared.take(offers, keep_s)
            except (Unavailable, TimeoutError) as error:
                self._pause(error)
        self.unshared += len(offers)
        return set()

    async def _end(self, offers: Sequence[Offer], keep_s: float) -> None:
        if self._shared is None or not offers or self._paused():
            return
        try:
            async with asyncio.timeout(self._settings.claim_timeout_s):
                await self._shared.end(offers, keep_s)
        except (Unavailable, TimeoutError) as error:
            self._pause(error)

    def _paused(self) -> bool:
        return asyncio.get_running_loop().time() < self._pause_until

    def _pause(self, error: Exception) -> None:
        _log.warning("shared claims are away; searches go on with their own: %s", str(error) or "no answer in time")
        self._pause_until = asyncio.get_running_loop().time() + self._settings.claim_pause_s
