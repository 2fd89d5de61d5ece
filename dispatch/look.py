"""Looking around for a request: the supply ring by ring, the road, the profiles, then the decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from core.clock import Clock
from dispatch import offers as rules
from dispatch.candidates import Shortlist, shortlist
from dispatch.claims import Claims
from dispatch.decide import Decision, decide
from dispatch.model import Ask, Offer, PickupTravel, Policy, ProfileRows, RideRequest, SupplyRows
from dispatch.ports import Ports
from maps import segments
from runtime.settings import DispatchSettings


class Lookout:
    """Sees who could take a request."""

    def __init__(self, ports: Ports, policy: Policy, settings: DispatchSettings, clock: Clock) -> None:
        self._ports = ports
        self._policy = policy
        self._settings = settings
        self._clock = clock
        self.claims = Claims(ports.claims, settings, clock)

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
        line = await self._line(request)
        ask = dataclasses.replace(ask, line={driver: place for place, driver in enumerate(line.driver.tolist(), 1)})
        listed = await self._around(request, ask, line)
        travel, profiles = await self._reach(request, listed.rows)
        # others may have chosen while this search waited for roads and profiles
        return decide(dataclasses.replace(ask, taken=self.claims.held(ask.now)), listed, travel, profiles, self._policy)

    def neighbourhood(self, segment: str) -> list[int]:
        """Every segment that a look from the segment of this name reads at most, the nearest first."""
        return [each for ring in rings_around(segments.parse(segment), self._settings) for each in ring]

    async def _line(self, request: RideRequest) -> SupplyRows:
        """Who waits in line for pickups at this place, in order."""
        if self._ports.queues is None:
            return SupplyRows.join(())
        return await self._ports.queues.first(request.pickup, self._settings.queue_heads)

    async def _around(self, request: RideRequest, ask: Ask, line: SupplyRows) -> Shortlist:
        """Who waits in line, and rings of neighbouring segments outward until there are enough candidates."""
        parts: list[SupplyRows] = []
        elsewhere: set[str] = set()
        listed = shortlist(SupplyRows.join(()), ask, self._policy)
        for ring in rings_around(segments.parse(request.segment), self._settings):
            rows = await self._ports.supply.in_segments(ring)
            if not parts:
                rows = SupplyRows.join([line, rows])
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
