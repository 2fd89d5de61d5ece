"""Looking around for a request: the supply ring by ring, the road, the profiles, then the decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from core.clock import Clock
from dispatch import offers as rules
from dispatch.candidates import Shortlist, shortlist
from dispatch.decide import Decision, decide
from dispatch.model import Ask, Offer, PickupTravel, Policy, ProfileRows, RideRequest, SupplyRows
from dispatch.ports import Ports
from maps import segments
from runtime.settings import DispatchSettings


class Claims:
    """Drivers whom a search of this process has chosen: the next search skips them before SQL has to refuse.

    A claim ends with its offer, at the latest at the offer's deadline, so a forgotten one hurts nobody.
    """

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, float]] = {}

    def hold(self, offers: Sequence[Offer]) -> None:
        self._held.update({offer.driver_id: (offer.offer_id, offer.expires_at) for offer in offers})

    def release(self, offers: Sequence[Offer]) -> None:
        for offer in offers:
            if self._held.get(offer.driver_id, ("", 0.0))[0] == offer.offer_id:
                del self._held[offer.driver_id]

    def shorten(self, offer: Offer, until: float) -> None:
        """The offer was accepted: from `until` on the supply itself says whether the driver is busy."""
        offer_id, held_until = self._held.get(offer.driver_id, ("", 0.0))
        if offer_id == offer.offer_id:
            self._held[offer.driver_id] = (offer_id, min(held_until, until))

    def held(self, now: float) -> AbstractSet[str]:
        """The drivers claimed at this moment."""
        for driver_id in [driver_id for driver_id, (_, until) in self._held.items() if until <= now]:
            del self._held[driver_id]
        return self._held.keys()


class Lookout:
    """Sees who could take a request."""

    def __init__(self, ports: Ports, policy: Policy, settings: DispatchSettings, clock: Clock) -> None:
        self._ports = ports
        self._policy = policy
        self._settings = settings
        self._clock = clock
        self.claims = Claims()

    async def look(self, request: RideRequest, offers: Sequence[Offer], free: int) -> Decision:
        """Decide whom to offer the request to, `free` drivers at most. `offers` are all that were made for it so far.

        Raises Unavailable when the supply or the store is away.
        """
        ask = Ask(
            now=self._clock.now(),
            mode=request.mode,
            vehicle_class=request.vehicle_class,
            seats=request.seats,
            tried={offer.driver_id: rules.ask_again_after(offer, self._settings.retry_s) for offer in offers},
            free=free,
        )
        listed = await self._around(request, ask)
        travel, profiles = await self._reach(request, listed.rows)
        # others may have chosen while this search waited for roads and profiles
        return decide(dataclasses.replace(ask, taken=self.claims.held(ask.now)), listed, travel, profiles, self._policy)

    async def _around(self, request: RideRequest, ask: Ask) -> Shortlist:
        """Rings of neighbouring segments outward until there are enough candidates."""
        parts: list[SupplyRows] = []
        elsewhere: set[str] = set()
        listed = shortlist(SupplyRows.join(()), ask, self._policy)
        for ring in rings_around(segments.parse(request.segment), self._settings):
            rows = await self._ports.supply.in_segments(ring)
            if len(rows) == 0:
                continue
            parts.append(rows)
            elsewhere |= await self._ports.store.holding_offers(rows.driver.tolist())
            asked = dataclasses.replace(ask, elsewhere=elsewhere | self.claims.held(ask.now))
            listed = shortlist(SupplyRows.join(parts), asked, self._policy)
            if len(listed.rows) >= self._settings.enough_candidates:
                break
        return listed

    async def _reach(self, request: RideRequest, rows: SupplyRows) -> tuple[PickupTravel, ProfileRows]:
        if len(rows) == 0:
            none = np.zeros(0)
            return PickupTravel(none, none), ProfileRows(none, none)
        travel = await self._ports.travel.to_pickup(rows.lat, rows.lng, request.pickup)
        return travel, await self._ports.profiles.of(rows.driver.tolist())


def rings_around(segment: int, settings: DispatchSettings) -> Iterator[list[int]]:
    """The neighbourhood in the order in which it is searched: the first rings at once, then ring by ring."""
    rings = segments.rings(segment, settings.max_rings)
    first = settings.min_rings + 1
    yield [each for ring in rings[:first] for each in ring]
    yield from rings[first:]
