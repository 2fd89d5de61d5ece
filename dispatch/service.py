"""The desk where riders ask and drivers answer: every command loads, decides, saves, publishes, and then tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

from core.clock import Clock
from core.errors import Conflict, InvalidInput, NotFound, TooMany, Unavailable
from core.geo import LatLng, haversine_m
from core.ids import Ids
from core.money import Money
from dispatch import offers as rules
from dispatch import settle
from dispatch.arrivals import Arrivals
from dispatch.explanations import Explanations
from dispatch.load import Load
from dispatch.look import Lookout
from dispatch.model import Accepted, Offer, Policy, RequestRide, RideRequest
from dispatch.modes import choose_mode
from dispatch.ports import Ports
from dispatch.search import Means
from dispatch.searches import LaneOf, Searches, one_lane
from dispatch.settle import Change
from dispatch.tell import Teller
from dispatch.views import offer_message
from dispatch.windows import Windows
from maps import segments
from runtime.settings import Settings

_log = logging.getLogger("hexcab.dispatch")
_TOO_LATE = ("offer_closed", "offer_expired")


class RideDesk:
    """Ride requests and offers. `searches` are those of this process: none before it takes a lane."""

    def __init__(self, ports: Ports, settings: Settings, clock: Clock, ids: Ids, *, lane_of: LaneOf = one_lane) -> None:
        self._ports = ports
        self._store = ports.store
        self._settings = settings.dispatch
        self._clock = clock
        self._ids = ids
        policy = Policy.of(settings.dispatch, settings.location.fresh_s, settings.batch)
        self._load = Load(ports.store, clock, settings.batch.load_s)
        self._teller = Teller(ports.delivery, settings.dispatch.delivery_timeout_s)
        lookout = Lookout(ports, policy, settings.dispatch, clock)
        arrivals = Arrivals(ports, lookout.claims, lookout.neighbourhood, policy, clock)
        self._means = Means(
            ports.store,
            ports.papers,
            lookout,
            Windows(lookout, policy, settings.batch, clock),
            arrivals,
            self._teller,
            clock,
            ids,
            policy,
            settings.dispatch,
            settings.explain,
        )
        self.explanations = Explanations(ports.store, settings.explain, clock)
        self.searches = Searches(self._means, lane_of)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._entering = 0
        self._closed = False

    # riders

    async def request_ride(self, ask: RequestRide) -> RideRequest:
        """Accept a ride request; once this returns it is durable and its search is under way.

        The same ask with the same `request_id` gives the same request, also when it comes twice at once.

        Raises Conflict rider_busy, and idempotency_conflict when the `request_id` is of another ask; InvalidInput for
        places off the roads or in a no-pickup zone and for quotes that do not fit or hold; NotFound for unknown quotes;
        Forbidden when anyone but ops asks for a mode; TooMany when the engine is full.
        """
        if self._closed:
            raise Unavailable("the engine is stopping", retry_after_s=5)
        if len(self.searches) + self._entering >= self._settings.max_open_requests:
            raise TooMany(
                "too many ride requests are open", retry_after_s=self._settings.retry_s, code="too_many_requests"
            )
        self._entering += 1
        try:
            return await self._unbroken(self._enter(ask))
        finally:
            self._entering -= 1

    async def cancel(self, request_id: str, rider_id: str | None) -> RideRequest:
        """End a search because its rider, or an operator (`rider_id` None), wants it; repeating it changes nothing.

        Raises NotFound for what is unknown or someone else's, Conflict already_assigned when there is a trip (to be
        cancelled instead) and already_ended when the search ended by itself.
        """
        await self.get(request_id, rider_id)
        return await self._unbroken(self._cancel(request_id))

    async def recent_of_rider(self, rider_id: str, within_s: float) -> RideRequest | None:
        """The rider's latest request, if its search goes on or ended at most `within_s` ago."""
        latest = await self._store.latest_of_rider(rider_id)
        if latest is None or latest.ended_at is None:
            return latest
        return latest if self._clock.now() - latest.ended_at <= within_s else None

    async def demand(self) -> Mapping[str, int]:
        """Open requests by segment; segments without any are left out."""
        return await self._store.demand()

    async def get(self, request_id: str, rider_id: str | None) -> RideRequest:
        """The request as its rider, or an operator (`rider_id` None), may see it. Raises NotFound."""
        request = await self._store.request(request_id)
        if request is None or (rider_id is not None and request.rider_id != rider_id):
            raise NotFound(f"there is no ride request {request_id}")
        return request

    # drivers

    async def accept(self, driver_id: str, offer_id: str) -> Accepted:
        """The driver takes the request; the winner may repeat it and gets the same trip.

        Raises NotFound for an unknown or foreign offer, Conflict offer_closed or offer_expired when it is too late, and
        the trips room's Conflict when the driver is on another trip; the search then goes on.
        """
        offer = await self._offer_of(driver_id, offer_id)
        return await self._unbroken(self._accept(offer))

    async def decline(self, driver_id: str, offer_id: str, reason: str | None) -> None:
        """The driver says no, and the next one is asked at once. Raises NotFound, and Conflict when it is too late."""
        offer = await self._offer_of(driver_id, offer_id)
        reason = reason[: self._settings.max_reason_length] if reason else None
        declined = rules.decline(offer, self._clock.now(), reason)
        if declined is not offer:
            await self._unbroken(self._end(declined))

    async def driver_gone(self, driver_id: str) -> None:
        """The driver's connection is lost: open offers go elsewhere at once."""
        for offer, _ in await self._store.open_offers_of(driver_id):
            ended = rules.end(offer, "undelivered", self._clock.now(), "disconnected")
            await self._unbroken(self._end(ended))

    async def open_offers_of(self, driver_id: str) -> list[Offer]:
        """The offers that the driver may still answer, oldest first."""
        return [offer for offer, _ in await self._answerable(driver_id)]

    async def offer_messages(self, driver_id: str) -> list[dict[str, Any]]:
        """The same as the contract's messages, for a driver who connects again."""
        return [offer_message(offer, request) for offer, request in await self._answerable(driver_id)]

    # the desk itself

    @property
    def unshared_claims(self) -> int:
        """How many drivers were chosen while the claims that workers share were away."""
        return self._means.lookout.claims.unshared

    async def close(self) -> None:
        """Stop the searches where they are; nothing ends by this, whoever owns their lanes next goes on."""
        self._closed = True
        await self.searches.close()
        await self._load.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._settings.close_timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @property
    def resting(self) -> bool:
        """Whether every search waits for time or an answer to come, and no command is under way."""
        return not self._tasks and self.searches.resting

    async def _enter(self, ask: RequestRide) -> RideRequest:
        try:
            request = await self._new_request(ask)
            answer = None if ask.answer is None else ask.answer(request)
            await self._store.book(settle.booking(request, answer))
        except (Conflict, InvalidInput, NotFound):  # perhaps because the same ask was heard before
            if (known := await self._known(ask)) is None:
                raise
            return known
        self.searches.entered(request)
        async with self.searches.lock(request.request_id):  # so that the search's first message comes after this one
            await self._teller.request(request)
        return request

    async def _new_request(self, ask: RequestRide) -> RideRequest:
        queues, segment = self._ports.queues, segments.name(self._ports.segments.at(ask.pickup))
        in_line = queues is not None and queues.at(ask.pickup)
        mode = choose_mode(ask, self._means.policy, self._load.open_in(segments.region_of(segment)), in_line)
        if self._ports.pickups is not None:
            self._ports.pickups.check_pickup(ask.pickup)
        fare = await self._fare(ask)
        now = self._clock.now()
        return RideRequest(
            request_id=ask.request_id or self._ids.new("req"),
            rider_id=ask.rider_id,
            pickup=ask.pickup,
            dropoff=ask.dropoff,
            rider_class=ask.rider_class,
            mode=mode,
            status="searching",
            segment=segment,
            fare=fare,
            created_at=now,
            expires_at=now + self._settings.request_s,
            quote_id=ask.quote_id,
            vehicle_class=ask.vehicle_class,
            seats=ask.seats,
        )

    async def _known(self, ask: RequestRide) -> RideRequest | None:
        """The request that the same ask made before. Raises Conflict idempotency_conflict when it was another ask."""
        known = None if ask.request_id is None else await self._store.request(ask.request_id)
        if known is not None and not known.came_of(ask):
            raise Conflict("this key was used for another ride request", code="idempotency_conflict")
        return known

    async def _fare(self, ask: RequestRide) -> Money:
        if ask.quote_id is None:
            return await self._ports.quotes.estimate(ask.pickup, ask.dropoff)
        quote = await self._ports.quotes.promised(ask.quote_id, ask.rider_id)
        self._check_place("pickup", ask.pickup, quote.pickup)
        self._check_place("dropoff", ask.dropoff, quote.dropoff)
        return quote.fare

    def _check_place(self, field: str, asked: LatLng, quoted: LatLng) -> None:
        """A price holds for the trip it was promised for."""
        off_m = haversine_m(asked, quoted)
        if off_m > self._settings.quote_slack_m:
            raise InvalidInput(f"{field} lies {off_m:.0f} m from the {field} of the quote", code="quote_mismatch")

    async def _cancel(self, request_id: str) -> RideRequest:
        async with self.searches.lock(request_id):
            async with self._store.transaction() as uow:
                change = await settle.finish(uow, request_id, "cancelled", self._clock.now(), None)
            await self._told(change)
        request = change.request
        if request.status == "assigned":
            raise Conflict("the request has a trip; cancel the trip instead", code="already_assigned")
        if request.status != "cancelled":
            raise Conflict(f"the search has ended: {request.status}", code="already_ended")
        return request

    async def _accept(self, offer: Offer) -> Accepted:
        try:
            papers = await self._papers(offer) if offer.is_open else None  # a repeat needs none
            async with self.searches.lock(offer.request_id):
                async with self._store.transaction() as uow:
                    change = await settle.accept(uow, offer, self._clock.now(), papers)
                await self._means.lookout.claims.shorten(offer)
                await self._told(change)
        except (Conflict, NotFound) as error:
            if error.code not in _TOO_LATE:
                # the driver cannot take a trip at all: somebody else must
                await self._end(rules.end(offer, "undelivered", self._clock.now(), error.code))
            raise
        assert change.request.trip_id is not None
        return Accepted(change.request.request_id, change.request.trip_id)

    async def _papers(self, offer: Offer) -> object:
        request = await self._store.request(offer.request_id)
        return await self._ports.papers(offer.driver_id, None if request is None else request.quote_id)

    async def _end(self, ended: Offer) -> None:
        async with self.searches.lock(ended.request_id):
            async with self._store.transaction() as uow:
                change = await settle.end_offers(uow, [ended])
            await self._told(change)

    async def _told(self, change: Change) -> None:
        await self._means.lookout.claims.release(change.ended)
        self.searches.wake(change.request.request_id)
        await self._teller.changed(change)

    async def _offer_of(self, driver_id: str, offer_id: str) -> Offer:
        offer = await self._store.offer(offer_id)
        if offer is None or offer.driver_id != driver_id:
            raise NotFound(f"there is no offer {offer_id}")
        return offer

    async def _answerable(self, driver_id: str) -> list[tuple[Offer, RideRequest]]:
        now = self._clock.now()
        return [pair for pair in await self._store.open_offers_of(driver_id) if not rules.is_overdue(pair[0], now)]

    async def _unbroken[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Finish a command even if its caller goes away half-way: a commit must be followed by what it entails."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone; it was told otherwise
