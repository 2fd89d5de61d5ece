"""How a request is served: which mode, and how many drivers may hold an offer for it at a time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from core.errors import Forbidden, InvalidInput
from core.events import Mode
from dispatch.model import Policy, RequestRide


def choose_mode(ask: RequestRide, in_line: bool = False) -> Mode:
    """The cab finder's choice: the best driver for premium riders, the first of several to accept for all others.

    Where drivers wait in line they are asked one after the other, too.

    Raises Forbidden when anyone but an operator asks for a mode, InvalidInput for a mode that does not exist.
    """
    if ask.mode is not None:
        if not ask.by_ops:
            raise Forbidden("only operators may choose the mode of a request", code="mode_forbidden")
        if ask.mode not in ("best", "broadcast"):
            raise InvalidInput(f"mode must be best or broadcast, got {ask.mode!r}", code="bad_mode")
        return ask.mode
    return "best" if ask.rider_class == "premium" or in_line else "broadcast"


def places(mode: Mode, policy: Policy) -> int:
    """How many open offers a request may have: one after the other in best, several at once in broadcast."""
    return 1 if mode == "best" else policy.broadcast_drivers


def next_drivers(in_order: Sequence[Any], free: int, taken: AbstractSet[Any]) -> list[int]:
    """Which ranks are offered the request next: the best `free` ones whom no other search has taken meanwhile."""
    if free <= 0:
        return []
    return [rank for rank, driver in enumerate(in_order) if driver not in taken][:free]
