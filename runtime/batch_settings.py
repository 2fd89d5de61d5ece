"""Settings of requests that are matched together."""

from __future__ import annotations

import msgspec


class BatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When standard riders are served in batch, how long a window is, and what leaving a request costs."""

    standard: bool = False  # standard riders are served in batch, whatever the load
    above_open: int = 200  # or while more requests than this are open in the region of the pickup
    load_s: float = 2.0  # how old the number of open requests may be
    window_s: float = 2.0  # from the first request of a window to its decision
    again_s: float = 0.2  # the same, for requests whose offer has just ended without a trip
    requests: int = 2_000  # in one window; more open another
    candidates: int = 24  # drivers that a window weighs for one request
    left_s: float = (
        1_500.0  # seconds of pickup time that serving a new request is worth; beyond it, it is left for later
    )
    left_per_waited_s: float = 5.0  # so much more for each second waited
