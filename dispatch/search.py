"""The search of one request, from its creation or recovery to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import Clock
from core.errors import Conflict, HexcabError, NotFound
from core.events import NoCabReason
from core.ids import Ids
from dispatch import offers as rules
from dispatch import settle
from dispatch.arrivals import Arrivals, Watch
from dispatch.decide import Choice, Decision
from dispatch.diary import Diary
from dispatch.look import Lookout, Sought
from dispatch.model import NEVER_AGAIN, Offer, Policy, RequestStatus, RideRequest
from dispatch.modes import next_wave_s, places
from dispatch.ports import Store, TripPapers
from dispatch.settle import Change
from dispatch.tell import Teller
from dispatch.waiting import Rest, Waiting
from dispatch.windows import Windows
from runtime import telemetry
from runtime.explain_settings import ExplainSettings
from runtime.settings import DispatchSettings

_log = logging.getLogger("hexcab.dispatch")


@dataclass(frozen=True, slots=True)
class Means:
    """What every search works with."""

    store: Store
    papers: TripPapers
    lookout: Lookout
    windows: Windows
    arrivals: Arrivals
    teller: Teller
    clock: Clock
    ids: Ids
    policy: Policy
    settings: DispatchSettings
    explain: ExplainSettings


class Search:
    """Offers one request to drivers until it is over.

    Everything it knows is in the store: each step loads, decides, saves and tells, so any step can be the first one
    after a crash. `lock` keeps the messages about this request in the order of the commits; what is true is decided by
    the store alone.
    """

    def __init__(self, request_id: str, means: Means, lane: int = 0) -> None:
        self.request_id = request_id
        self.lane = lane
        self.status: RequestStatus | None = None  # when it was last loaded
        self.lock = asyncio.Lock()
        self._means = means
        self._stopping = False
        self._waiting = Waiting(means.clock, means.arrivals)
        self._saw_nobody = True  # who suits, at the last look
        self._arrived = False  # an arrival woke it
        self._again_s = 0.0  # after a look in vain: when something may have changed that no arrival tells of
        self._diary = Diary(means.ids, means.policy.weights, means.explain)
        self._comes_back = False  # its offer came to nothing: it must not wait for a whole window

    @property
    def resting(self) -> bool:
        """Whether it waits for time to pass or for `wake`."""
        return self._waiting.resting

    async def rested(self) -> None:
        """Until it is resting, or over."""
        await self._waiting.rested()

    def wake(self) -> None:
        """Look again now: something about the request or around it changed."""
        self._waiting.wake()

    def arrived(self) -> None:
        """A driver became free near: look again now."""
        self._arrived = True
        self.wake()

    def stop(self) -> None:
        """Leave after the present step, with the request still open: a later recovery goes on."""
        self._stopping = True
        self._waiting.wake()

    async def run(self) -> None:
        """Serve the request until its search is over. A failing store or road service delays it but never ends it."""
        telemetry.request_id.set(self.request_id)
        try:
            while not self._stopping:
                try:
                    rest = await self._step()
                except HexcabError as error:
                    _log.warning("the search will try again: %s", error.detail, extra={"code": error.code})
                    rest = Rest(self._means.settings.retry_s)
                except Exception:
                    _log.exception("the search failed and will try again")
                    rest = Rest(self._means.settings.retry_s)
                if rest is None:
                    return
                await self._waiting.until(rest)
        finally:
            self._waiting.over()

    async def _step(self) -> Rest | None:
        """Do what is due; returns what to wait for until something is due again, None when the search is over."""
        self._waiting.begin()
        arrived, self._arrived = self._arrived, False
        means = self._means
        found = await means.store.request_and_offers(self.request_id)
        if found is None or not found[0].is_open:
            return None
        request, offers = found
        means.lookout.claims.ended([offer for offer in offers if not offer.is_open and offer.status != "accepted"])
        self.status = request.status
        now = means.clock.now()
        if now >= request.expires_at:
            await self._finish(request, "expired" if offers else "no_driver")
            return None
        if overdue := [offer for offer in offers if offer.is_open and rules.is_overdue(offer, now)]:
            await self.end([rules.end(offer, "expired", now) for offer in overdue])
            return Rest(0.0)
        open_offers = [offer for offer in offers if offer.is_open]
        began = min((offer.made_at for offer in open_offers), default=now)
        wave_at = began + next_wave_s(request.mode, means.policy, now - began) if open_offers else request.expires_at
        due_at = min([request.expires_at, wave_at, *(offer.expires_at for offer in open_offers)])
        free = places(request.mode, means.policy, now - began) - len(open_offers)
        if free <= 0:
            return Rest(due_at - now)
        looked = means.arrivals.readings
        if await self._offer(request, offers, free):
            return Rest(0.0)
        # somebody whom the look does not see although a reading does must not wake it with every reading
        saw_nobody = self._saw_nobody and not arrived
        said_no = frozenset(o.driver_id for o in offers if rules.ask_again_after(o, 0.0) == NEVER_AGAIN)
        watch = Watch(self, request.segment, looked, saw_nobody, request.vehicle_class, request.seats, said_no)
        due_in_s = due_at - means.clock.now()  # the look took its time
        return Rest(due_in_s if saw_nobody else min(due_in_s, self._again_s), watch)

    async def end(self, ended: Sequence[Offer]) -> Change:
        """Commit offers that ended without a trip, and tell those concerned."""
        async with self.lock:
            async with self._means.store.transaction() as uow:
                change = await settle.end_offers(uow, ended)
            await self._told(change)
        return change

    async def _finish(self, request: RideRequest, reason: NoCabReason) -> None:
        async with self.lock:
            seen = self._diary.ending(request)
            async with self._means.store.transaction() as uow:
                change = await settle.finish(uow, self.request_id, reason, self._means.clock.now(), seen)
            await self._told(change)

    async def _offer(self, request: RideRequest, offers: Sequence[Offer], free: int) -> bool:
        """Offer the request to the next drivers; False when there is nobody to offer it to."""
        settings = self._means.settings
        for _ in range(settings.max_looks):
            # without asking, the second best stands by for the case that the best cannot take a trip
            wanted = settings.max_looks if settings.auto_accept else free
            decision = await self._look(request, offers, wanted)
            if decision is None:
                return True
            self._diary.looked(decision)
            self._again_s = _again_s(decision, offers, settings)
            counts = decision.counts
            self._saw_nobody = decision.supply_seen == counts["vehicle"] + counts["tried"] and not _soon(offers)
            if not decision.chosen:  # others of the window may have got those who would suit
                await self._note(request)
                return request.mode == "batch" and counts["ranked"] > 0
            if settings.auto_accept:
                return await self._assign(request, decision.chosen)
            self._comes_back = True
            if await self._make(request, decision.chosen):
                return True
        return False

    async def _look(self, request: RideRequest, offers: Sequence[Offer], free: int) -> Decision | None:
        """Look around, in batch together with all requests of the window; None when something happened meanwhile."""
        means = self._means
        if request.mode != "batch":
            return await means.lookout.look(request, offers, free)
        again, self._comes_back = self._comes_back, False
        decided = means.windows.join(Sought(request, offers), again)
        in_time = await self._waiting.until_done(decided, request.expires_at - means.clock.now())
        return decided.result() if in_time else None

    async def _note(self, request: RideRequest) -> None:
        """Keep a look in vain, so that it can be explained while the search goes on."""
        if look := self._diary.in_vain(request):
            async with self._means.store.transaction() as uow:
                await uow.looks.add(look)
            self._diary.kept(look)

    async def _make(self, request: RideRequest, chosen: Sequence[Choice]) -> bool:
        """Commit offers and hand them over; False when another dispatcher was faster with one of the drivers."""
        means = self._means
        offers, seen = [self._draft(request, choice) for choice in chosen], self._diary.offering(request, chosen)
        if not await means.lookout.claims.hold(offers):
            return False
        async with self.lock:
            change = None
            try:
                async with means.store.transaction() as uow:
                    change = await settle.make_offers(uow, offers, seen)
            except Conflict:
                return False
            finally:
                if change is None:
                    await means.lookout.claims.release(offers)
            if change is None:
                return True
            self._diary.kept(seen.look)
            await means.teller.changed(change)
            lost = await means.teller.offers(offers, change.request)
        if lost:
            now = means.clock.now()
            await self.end([rules.end(offer, "undelivered", now) for offer in lost])
        return True

    async def _assign(self, request: RideRequest, chosen: Sequence[Choice]) -> bool:
        """Auto-accept: the best driver who can take a trip gets it without being asked."""
        means = self._means
        for choice in chosen:
            offer, seen = self._draft(request, choice), self._diary.offering(request, [choice])
            async with self.lock:
                try:
                    papers = await means.papers(offer.driver_id, request.quote_id)
                    async with means.store.transaction() as uow:
                        made = await settle.make_offers(uow, [offer], seen)
                        if made is None:
                            return True
                        change = await settle.accept(uow, offer, offer.made_at, papers)
                except (Conflict, NotFound) as error:
                    _log.info("the driver cannot take a trip: %s", error.detail, extra={"driver_id": offer.driver_id})
                    means.lookout.claims.pass_by(offer.driver_id)
                    self._diary.cannot(offer.driver_id)
                    continue
                self._diary.kept(seen.look)
                await self._told(change)
            return True
        return request.mode == "batch"  # the next window has somebody else

    def _draft(self, request: RideRequest, choice: Choice) -> Offer:
        now = self._means.clock.now()
        return Offer(
            offer_id=self._means.ids.new("off"),
            request_id=request.request_id,
            driver_id=choice.driver,
            mode=request.mode,
            status="open",
            made_at=now,
            expires_at=min(now + self._means.settings.offer_s, request.expires_at),
            pickup_eta_s=choice.pickup_eta_s,
            pickup_distance_m=choice.pickup_distance_m,
            score=choice.score,
            why=choice.why,
        )

    async def _told(self, change: Change) -> None:
        await self._means.lookout.claims.release(change.ended)
        await self._means.teller.changed(change)


def _again_s(decision: Decision, offers: Sequence[Offer], settings: DispatchSettings) -> float:
    """Seconds until a look in vain is worth repeating although nobody has arrived."""
    return settings.retry_s if _soon(offers) or decision.counts["ranked"] else settings.look_again_s


def _soon(offers: Sequence[Offer]) -> bool:
    """Whether one of the drivers may be asked again."""
    return any(rules.ask_again_after(offer, 0.0) < NEVER_AGAIN for offer in offers)
