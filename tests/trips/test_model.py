"""The state machine, driven at random against a small model of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core.errors import Conflict
from core.events import Party
from core.geo import LatLng
from core.money import Money
from trips import model
from trips.announce import announcement
from trips.model import DriverCard, NewTrip, Trip, TripDriver, TripPapers, TripVehicle

MAX_TRIES = 5
Verb = Literal["arrive", "board", "complete"]

NEXT = {("assigned", "arrive"): "arrived", ("arrived", "board"): "riding", ("riding", "complete"): "completed"}
STEPS = {"arrive": model.arrive, "complete": model.complete}
ORDER = ["assigned", "arrived", "riding", "completed"]


def fresh(now: float = 0.0) -> Trip:
    new = NewTrip(
        request_id="req_1",
        rider_id="rdr_1",
        driver_id="drv_1",
        pickup=LatLng(57.7, 11.9),
        dropoff=LatLng(57.71, 11.95),
        mode="broadcast",
        segment="881f25a5b7fffff",
        assigned_at=now,
        papers=TripPapers(DriverCard(TripDriver("Dora", None), TripVehicle("ABC123", "standard", 4)), None),
    )
    return model.open_trip(new, "trip_1", "0042")


def attempt(step: Callable[[], Trip]) -> tuple[Trip | None, str | None]:
    """The trip after a step, or the code of the refusal."""
    try:
        return step(), None
    except Conflict as refused:
        return None, refused.code


class TripMachine(RuleBasedStateMachine):
    """Any step at any time: the table decides, repeats change nothing, and each step is logged and announced once."""

    @initialize()
    def assign(self) -> None:
        self.now = 1_000.0
        self.trip = fresh(self.now)
        self.wrong = 0
        self.announced = [announcement(self.trip).id]

    def _take(self, trip: Trip) -> None:
        if trip.status != self.trip.status:
            self.announced.append(announcement(trip).id)
        self.trip = trip

    @rule(verb=st.sampled_from(["arrive", "complete"]))
    def step(self, verb: Literal["arrive", "complete"]) -> None:
        self._drive(verb)

    @rule()
    def board(self) -> None:
        if self.trip.status == "arrived" and self.wrong >= MAX_TRIES:
            after, refusal = attempt(lambda: model.board(self.trip, "0042", MAX_TRIES, self.now))
            assert (after, refusal) == (None, "code_locked")
        else:
            self._drive("board")

    @rule(code=st.text(max_size=6).filter(lambda code: code != "0042"))
    def board_with_a_wrong_code(self, code: str) -> None:
        before = self.trip
        after, refusal = attempt(lambda: model.board(before, code, MAX_TRIES, self.now))
        if after is None:
            assert refusal == ("code_locked" if before.status == "arrived" else "wrong_status")
            return
        if before.status == "arrived":
            self.wrong += 1
            assert (after.status, after.code_tries) == ("arrived", self.wrong)
        else:
            assert after is before
        self.trip = after

    @rule(party=st.sampled_from(["rider", "driver", "ops"]), reason=st.text(max_size=300))
    def cancel(self, party: Party, reason: str) -> None:
        before = self.trip
        allowed = before.status in ("assigned", "arrived") or (before.status == "riding" and party == "ops")
        after, refusal = attempt(lambda: model.cancel(before, party, reason, self.now))
        if after is None:
            assert refusal == "wrong_status"
            assert not allowed
            assert before.status != "cancelled"
            return
        if before.status == "cancelled":
            assert after is before
        else:
            assert allowed
            assert (after.status, after.cancelled_by) == ("cancelled", party)
            assert len(after.cancel_reason or "") <= 200
            assert len(after.steps[-1].detail or "") <= 220
        self._take(after)

    @rule(minor=st.integers(0, 100_000))
    def price(self, minor: int) -> None:
        before = self.trip
        after, refusal = attempt(lambda: model.fix_fare(before, Money(minor, "SEK"), 10.0, "matched", self.now))
        if after is None:
            assert refusal == "wrong_status"
            assert before.status != "completed"
            return
        assert before.status == "completed"
        if before.fare is not None:
            assert after is before
        else:
            assert after.fare == Money(minor, "SEK")
        self.trip = after

    @precondition(lambda self: self.now < 1e9)
    @rule(seconds=st.integers(1, 1_000))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    def _drive(self, verb: Verb) -> None:
        before = self.trip
        if verb == "board":
            after, refusal = attempt(lambda: model.board(before, "0042", MAX_TRIES, self.now))
        else:
            after, refusal = attempt(lambda: STEPS[verb](before, self.now))
        if after is None:
            assert refusal == "wrong_status"
            assert (before.status, verb) not in NEXT
            return
        if (before.status, verb) in NEXT:
            assert after.status == NEXT[before.status, verb]
        else:  # a repeat: the step lies behind the trip
            assert after is before
            taken = next(new for (_, name), new in NEXT.items() if name == verb)
            assert ORDER.index(before.status) >= ORDER.index(taken)
        self._take(after)

    @invariant()
    def log_tells_the_whole_story(self) -> None:
        trip = self.trip
        kinds = [step.type for step in trip.steps]
        assert len(set(kinds)) == len(kinds)
        assert [step.at for step in trip.steps] == sorted(step.at for step in trip.steps)
        assert kinds[0] == "assigned"
        assert ("arrived" in kinds) == (trip.arrived_at is not None)
        assert ("started" in kinds) == (trip.started_at is not None)
        assert ("completed" in kinds) == (trip.completed_at is not None) == (trip.status == "completed")
        assert ("cancelled" in kinds) == (trip.status == "cancelled")
        assert len(set(self.announced)) == len(self.announced)

    @invariant()
    def trip_is_active_until_it_ends(self) -> None:
        assert self.trip.active == (self.trip.status not in ("completed", "cancelled"))
        assert not (self.trip.settled and self.trip.active)


TestTripMachine = TripMachine.TestCase
