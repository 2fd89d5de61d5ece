from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from core.errors import Conflict
from core.events import OfferOutcome
from dispatch import offers
from dispatch.model import NEVER_AGAIN, Offer, OfferStatus

OPEN = Offer(
    offer_id="off_1",
    request_id="req_1",
    driver_id="a",
    mode="best",
    status="open",
    made_at=100.0,
    expires_at=112.0,
    pickup_eta_s=60.0,
    pickup_distance_m=500.0,
    score=50.0,
    why="",
)
CLOSED: list[OfferStatus] = ["declined", "expired", "accepted_elsewhere", "cancelled", "undelivered"]


def ended(status: OfferStatus) -> Offer:
    return msgspec.structs.replace(OPEN, status=status, ended_at=105.0)


def test_an_open_offer_may_be_accepted_until_just_before_its_deadline() -> None:
    accepted = offers.accept(OPEN, 111.999)
    assert (accepted.status, accepted.ended_at) == ("accepted", 111.999)
    with pytest.raises(Conflict) as late:
        offers.accept(OPEN, 112.0)
    assert late.value.code == "offer_expired"


@pytest.mark.parametrize("status", CLOSED)
def test_a_closed_offer_cannot_be_accepted_and_says_whether_time_was_the_reason(status: OfferStatus) -> None:
    with pytest.raises(Conflict) as refused:
        offers.accept(ended(status), 106.0)
    assert refused.value.code == ("offer_expired" if status == "expired" else "offer_closed")


def test_repeated_answers_change_nothing() -> None:
    accepted, declined = offers.accept(OPEN, 105.0), offers.decline(OPEN, 105.0, "tired")
    assert offers.accept(accepted, 200.0) is accepted
    assert offers.decline(declined, 200.0, "other") is declined


@pytest.mark.parametrize("status", [*CLOSED[1:], "accepted"])
def test_a_closed_offer_cannot_be_declined(status: OfferStatus) -> None:
    with pytest.raises(Conflict):
        offers.decline(ended(status), 106.0, None)


@pytest.mark.parametrize("outcome", get_args(OfferOutcome))
def test_an_offer_ends_once(outcome: OfferOutcome) -> None:
    over = offers.end(OPEN, outcome, 105.0, "because")
    assert (over.status, over.ended_at, over.reason) == (outcome, 105.0, "because")
    for again in get_args(OfferOutcome):
        with pytest.raises(Conflict):
            offers.end(over, again, 106.0)


def test_only_a_failed_delivery_may_be_tried_again() -> None:
    assert offers.ask_again_after(ended("undelivered"), 2.0) == 107.0
    for status in ("open", "accepted", "declined", "expired", "accepted_elsewhere", "cancelled"):
        assert offers.ask_again_after(ended(status), 2.0) == NEVER_AGAIN
