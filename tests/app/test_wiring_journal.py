"""The journal counts how offers end."""

from __future__ import annotations

from typing import get_args

from app.wiring.journal import Journal
from core.events import OfferAccepted, OfferEnded, OfferOutcome
from runtime.telemetry import Metrics


async def test_offers_are_counted_by_how_they_ended() -> None:
    metrics = Metrics()
    journal = Journal(metrics)
    await journal.note(
        OfferAccepted(id="e0", at=0, request_id="r", offer_id="o0", driver_id="d", trip_id="t"),
    )
    for number, outcome in enumerate(get_args(OfferOutcome), 1):
        for again in range(number):
            ended = OfferEnded(
                id=f"e{number}.{again}", at=0, request_id="r", offer_id="o", driver_id="d", outcome=outcome
            )
            await journal.note(ended)
    counted = {
        outcome: metrics.registry.get_sample_value("hexcab_offers_total", {"outcome": outcome})
        for outcome in ("accepted", *get_args(OfferOutcome))
    }
    assert counted == {
        "accepted": 1,
        **{outcome: number for number, outcome in enumerate(get_args(OfferOutcome), 1)},
    }
