"""The trip desk: load the trip, take the step, save, publish; then tell who watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.clock import Clock
from core.errors import Conflict, FieldError, Forbidden, InvalidInput, NotFound
from core.events import Party
from runtime.settings import TripSettings
from runtime.telemetry import of_trip
from trips import model
from trips.announce import announcement, rated
from trips.history import History
from trips.model import By, Trip
from trips.ports import LiveTrips, Rating, Transactions, TripAudience


@dataclass(frozen=True, slots=True)
class DeskPorts:
    """What the desk works with."""

    transactions: Transactions
    live: LiveTrips
    history: History
    audience: TripAudience


class TripDesk:
    """The steps of a trip. A step that was already taken answers the same again and tells nobody twice.

    Every method raises NotFound for a trip that does not exist or is someone else's.
    """

    def __init__(self, ports: DeskPorts, clock: Clock, settings: TripSettings) -> None:
        self._ports = ports
        self._clock = clock
        self._settings = settings

    async def get(self, trip_id: str, by: By) -> Trip:
        """A trip, live or archived."""
        return await self._ports.history.trip(trip_id, by)

    async def active_of_driver(self, driver_id: str) -> Trip | None:
        """The trip that a driver is on."""
        return await self._ports.live.active_of("driver", driver_id)

    async def active_of_rider(self, rider_id: str) -> Trip | None:
        """The trip that a rider is on."""
        return await self._ports.live.active_of("rider", rider_id)

    async def arrive(self, driver_id: str, trip_id: str) -> Trip:
        """The driver is at the pickup. Raises Conflict wrong_status."""
        now = self._clock.now()
        return await self._step(trip_id, By("driver", driver_id), lambda trip: model.arrive(trip, now))

    async def board(self, driver_id: str, trip_id: str, start_code: str) -> Trip:
        """The rider is on board and told the code.

        Raises InvalidInput wrong_start_code (the try is counted for good), Conflict code_locked after too many of
        them, and Conflict wrong_status.
        """
        now, most = self._clock.now(), self._settings.max_code_tries
        trip = await self._step(trip_id, By("driver", driver_id), lambda trip: model.board(trip, start_code, most, now))
        if trip.started_at is None:  # raised only here: the transaction had to keep the counted try
            raise model.wrong_code(trip, most)
        return trip

    async def complete(self, driver_id: str, trip_id: str) -> Trip:
        """The rider was dropped off. Raises Conflict wrong_status."""
        now = self._clock.now()
        return await self._step(trip_id, By("driver", driver_id), lambda trip: model.complete(trip, now))

    async def cancel(self, trip_id: str, by: By, reason: str = "") -> Trip:
        """End a trip early: its rider or driver before boarding, ops at any time. Raises Conflict wrong_status."""
        now = self._clock.now()
        return await self._step(trip_id, by, lambda trip: model.cancel(trip, by.party, reason, now))

    async def rate(self, trip_id: str, by: By, stars: int) -> Rating:
        """The rider's or driver's stars for the other, once, after completion.

        The same stars again answer the same. Raises InvalidInput bad_stars, Forbidden not_a_party for ops, Conflict
        wrong_status before completion and already_rated for other stars.
        """
        if isinstance(stars, bool) or not isinstance(stars, int) or not 1 <= stars <= 5:
            error = FieldError("stars", f"must be a whole number from 1 to 5, got {stars!r}")
            raise InvalidInput(f"stars {error.detail}", code="bad_stars", errors=(error,))
        if by.party == "ops":
            raise Forbidden("only the trip's rider and driver rate it", code="not_a_party")
        trip = await self._ports.history.trip(trip_id, by)
        if trip.status != "completed":
            raise Conflict(f"cannot rate a trip that is {trip.status}", code="wrong_status")
        about: Party = "driver" if by.party == "rider" else "rider"
        about_id = trip.driver_id if about == "driver" else trip.rider_id
        rating = Rating(trip_id, by.party, about, about_id, stars, self._clock.now())
        try:
            async with self._ports.transactions() as uow:
                given = await uow.trips.rating(trip_id, by.party)
                if given is None:
                    await uow.trips.add_rating(rating)
                    uow.publish(rated(trip, rating))
                    return rating
        except Conflict:  # the same party at the same moment
            async with self._ports.transactions() as uow:
                given = await uow.trips.rating(trip_id, by.party)
            if given is None:
                raise
        if given.stars != stars:
            raise Conflict("this trip is already rated", code="already_rated")
        return given

    async def _step(self, trip_id: str, by: By, take: Callable[[Trip], Trip]) -> Trip:
        with of_trip(trip_id):
            return await self._take(trip_id, by, take)

    async def _take(self, trip_id: str, by: By, take: Callable[[Trip], Trip]) -> Trip:
        async with self._ports.transactions() as uow:
            trip = await uow.trips.get(trip_id)
            if trip is not None:
                if not trip.concerns(by):
                    raise NotFound(f"no trip {trip_id}")
                after = take(trip)
                if after is trip:
                    return trip
                await uow.trips.save(after)
                if after.status != trip.status:
                    uow.publish(announcement(after))
                    if not after.active:
                        await uow.end_request(after.request_id)
        if trip is None:  # archived trips are over: the step was taken, or it is refused
            return take(await self._ports.history.trip(trip_id, by))
        if after.status != trip.status:
            await self._ports.audience.changed(after)
        return after
