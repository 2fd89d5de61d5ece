"""How a request is served: which mode, and how many drivers may hold an offer for it at a time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, get_args

from core.errors import Forbidden, InvalidInput
from core.events import Mode
from dispatch.model import Policy, RequestRide


def choose_mode(ask: RequestRide, policy: Policy, open_near: int = 0, in_line: bool = False) -> Mode:
    """The cab finder's choice: the best driver for premium riders, the first of several to accept for all others.

    Where drivers wait in line they are asked one after the other, too. Where the city wants it, or while more requests
    than `policy.batch_above_open` are open near (`open_near`), all others are matched together.

    Raises Forbidden when anyone but an operator asks for a mode, InvalidInput for a mode that does not exist.
    """
    if ask.mode is not None:
        if not ask.by_ops:
            raise Forbidden("only operators may choose the mode of a request", code="mode_forbidden")
        if ask.mode not in get_args(Mode):
            raise InvalidInput(f"mode must be one of {', '.join(get_args(Mode))}, got {ask.mode!r}", code="bad_mode")
        return ask.mode
    if ask.rider_class == "premium" or in_line:
        return "best"
    return "batch" if policy.batch_standard or open_near > policy.batch_above_open else "broadcast"


def places(mode: Mode, policy: Policy, open_s: float = 0.0) -> int:
    """How many open offers a request may have: several at once in broadcast, else one after the other.

    A broadcast goes out in waves: as many again join for each `policy.wave_s` that the oldest open offer has been open
    (`open_s`), up to `policy.parallel_offers`.
    """
    if mode != "broadcast":
        return 1
    waves = 1 + int(open_s // policy.wave_s)
    return min(waves * policy.broadcast_drivers, max(policy.parallel_offers, policy.broadcast_drivers))


def next_wave_s(mode: Mode, policy: Policy, open_s: float) -> float:
    """When the next wave is due, in seconds after the oldest open offer was made; inf where there is none."""
    if mode != "broadcast" or places(mode, policy, open_s) >= policy.parallel_offers:
        return float("inf")
    return (1 + int(open_s // policy.wave_s)) * policy.wave_s


def next_drivers(in_order: Sequence[Any], free: int, taken: AbstractSet[Any]) -> list[int]:
    """Which ranks are offered the request next: the best `free` ones whom no other search has taken meanwhile."""
    if free <= 0:
        return []
    return [rank for rank, driver in enumerate(in_order) if driver not in taken][:free]
