"""Looking around for a request: the supply outward, the road, the profiles, then the decision."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.clock import Clock
from core.geo import IntArray, LatLng, haversine_many_m
from dispatch import offers as rules
from dispatch.candidates import Shortlist, once_each, reach_m, shortlist
from dispatch.claims import Claims
from dispatch.decide import Decision, decide
from dispatch.model import Ask, Offer, PickupTravel, Policy, ProfileRows, RideRequest, SupplyRows
from dispatch.ports import Ports
from maps import segments
from maps.neighbours import Surroundings
from runtime.settings import DispatchSettings

_AT_ONCE = 16  # decisions between two turns of the event loop


@dataclass(frozen=True, slots=True)
class Sought:
    """A request for which drivers are looked for. `offers` are all that were made for it so far."""

    request: RideRequest
    offers: Sequence[Offer]


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
        ask, listed = await self._list(Sought(request, offers), free)
        travel, profiles = await self._reach(request, listed.rows)
        # others may have chosen while this search waited for roads and profiles
        return decide(dataclasses.replace(ask, taken=self.claims.held(ask.now)), listed, travel, profiles, self._policy)

    async def look_together(self, sought: Sequence[Sought], free: int) -> list[Decision | BaseException]:
        """Look for each of these requests, `free` drivers at most, and ask once for the roads to all their pickups.

        A request that cannot be looked for gets the reason instead of a decision. Raises Unavailable when the roads or
        the profiles are away.
        """
        lists = await asyncio.gather(*(self._list(each, free) for each in sought), return_exceptions=True)
        found = [(place, *each) for place, each in enumerate(lists) if not isinstance(each, BaseException)]
        rows = SupplyRows.join([listed.rows for _, _, listed in found])
        ends = np.cumsum([0, *(len(listed.rows) for _, _, listed in found)])
        travel, profiles = await self._reach_all([sought[place].request.pickup for place, _, _ in found], rows, ends)
        looks: dict[int, Decision] = {}
        for n, (place, ask, listed) in enumerate(found):
            if n % _AT_ONCE == 0:
                await asyncio.sleep(0)  # a full window must not keep everybody else from their turn
            part: IntArray = np.arange(ends[n], ends[n + 1])
            now_taken = dataclasses.replace(ask, taken=frozenset(self.claims.held(ask.now)))
            looks[place] = decide(now_taken, listed, travel.take(part), profiles.take(part), self._policy)
        return [each if isinstance(each, BaseException) else looks[place] for place, each in enumerate(lists)]

    def neighbourhood(self, segment: str) -> list[int]:
        """Every segment that a look from the segment of this name reads at most, the nearest first."""
        cells: list[int] = self._around(segment).cells.tolist()
        return cells

    async def _list(self, sought: Sought, free: int) -> tuple[Ask, Shortlist]:
        request, offers = sought.request, sought.offers
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
        return ask, await self._candidates(request, ask, line)

    async def _line(self, request: RideRequest) -> SupplyRows:
        """Who waits in line for pickups at this place, in order."""
        if self._ports.queues is None:
            return SupplyRows.join(())
        return await self._ports.queues.first(request.pickup, self._settings.queue_heads)

    async def _candidates(self, request: RideRequest, ask: Ask, line: SupplyRows) -> Shortlist:
        """Who waits in line, and segments outward until everything outside is farther than the candidates reach."""
        await self._ports.segments.sure()
        policy, parts, asked = self._policy, [line], ask
        elsewhere = await self._ports.store.holding_offers(line.driver.tolist()) if len(line) else set()
        reach = policy.max_pickup_m
        for ring in self._around(request.segment).rings(request.pickup, policy.near_m, policy.max_pickup_m):
            rows = await self._ports.supply.in_segments(ring.cells)
            if len(rows):
                parts.append(rows)
                elsewhere |= await self._ports.store.holding_offers(rows.driver.tolist())
            if any(map(len, parts)):
                asked = dataclasses.replace(ask, elsewhere=elsewhere | self.claims.held(ask.now))
                eligible = shortlist(SupplyRows.join(parts), asked, policy).rows
                reach = reach_m(haversine_many_m(eligible.lat, eligible.lng, request.pickup), policy)
            if reach < ring.outside_m:
                break
        seen = once_each(SupplyRows.join(parts))
        near = haversine_many_m(seen.lat, seen.lng, request.pickup) <= reach
        in_line = np.array([driver in ask.line for driver in seen.driver.tolist()], dtype=np.bool_)
        return shortlist(seen.take(np.flatnonzero(near | in_line)), asked, policy)

    def _around(self, segment: str) -> Surroundings:
        return self._ports.segments.around(segments.parse(segment), self._policy.max_pickup_m)

    async def _reach_all(
        self, pickups: Sequence[LatLng], rows: SupplyRows, ends: IntArray
    ) -> tuple[PickupTravel, ProfileRows]:
        """For the rows (n,) of all pickups (m,), which `ends` (m + 1,) parts from each other."""
        if len(rows) == 0:
            none = np.zeros(0)
            return PickupTravel(none, none), ProfileRows(none, none)
        of_pickup = np.repeat(np.arange(len(pickups)), np.diff(ends))
        travel = await self._ports.travel.to_pickups(rows.lat, rows.lng, pickups, of_pickup)
        drivers, of_driver = np.unique(rows.driver, return_inverse=True)
        return travel, (await self._ports.profiles.of(drivers.tolist())).take(of_driver)

    async def _reach(self, request: RideRequest, rows: SupplyRows) -> tuple[PickupTravel, ProfileRows]:
        if len(rows) == 0:
            none = np.zeros(0)
            return PickupTravel(none, none), ProfileRows(none, none)
        travel = await self._ports.travel.to_pickup(rows.lat, rows.lng, request.pickup)
        return travel, await self._ports.profiles.of(rows.driver.tolist())
