"""What a search keeps of its looks: those that led to offers, the first in vain after them, and the last one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from core.ids import Ids
from dispatch.decide import Choice, Decision
from dispatch.explain import Look, LookTerms, look_of
from dispatch.model import RideRequest, Weights
from dispatch.settle import Seen
from runtime.explain_settings import ExplainSettings


class Diary:
    """Writes down looks of one search, at most `looks` of them; the one that it ends with has its place kept.

    What is written down counts once `kept` is told that it is stored.
    """

    def __init__(self, ids: Ids, weights: Weights, settings: ExplainSettings) -> None:
        self._ids = ids
        self._weights = weights
        self._settings = settings
        self._count = 0
        self._last: Decision | None = None
        self._kept: Decision | None = None  # the latest one that is stored
        self._cannot: frozenset[str] = frozenset()

    def looked(self, decision: Decision) -> None:
        """A look came to this."""
        self._last, self._cannot = decision, frozenset()

    def cannot(self, driver_id: str) -> None:
        """One of those chosen by the last look may not have a trip."""
        self._cannot |= {driver_id}

    def offering(self, request: RideRequest, chosen: Sequence[Choice]) -> Seen:
        """The last look, which leads to offers to these."""
        assert self._last is not None
        return _seen(self._last, self._write(request, self._last, chosen) if self._room(1) else None)

    def in_vain(self, request: RideRequest) -> Look | None:
        """The last look, which leads to nothing; None where one in vain is stored and there were no offers since."""
        since_offers = self._kept is None or self._kept.chosen
        if self._last is None or not since_offers or not self._room(1):
            return None
        return self._write(request, self._last, ())

    def ending(self, request: RideRequest) -> Seen | None:
        """What the search ends with; None where it never looked."""
        last = self._last
        if last is None:
            return None
        is_told = last is self._kept or last.chosen  # offers tell of their look
        return _seen(last, self._write(request, last, ()) if self._room(0) and not is_told else None)

    def kept(self, look: Look | None) -> None:
        """The last look is stored as this."""
        if look is not None:
            self._count, self._kept = self._count + 1, self._last

    def _room(self, others: int) -> bool:
        return self._count + others < self._settings.looks

    def _write(self, request: RideRequest, decision: Decision, chosen: Sequence[Choice]) -> Look:
        terms = LookTerms(self._ids.new("lok"), self._count + 1, self._weights, self._settings.drivers, self._cannot)
        return look_of(request, decision, [choice.driver for choice in chosen], terms)


def _seen(decision: Decision, look: Look | None) -> Seen:
    return Seen(decision.supply_seen, msgspec.json.encode(decision.counts).decode(), look)
