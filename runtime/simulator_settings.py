"""How much a simulation may take on, and how its batch mode decides."""

from __future__ import annotations

import msgspec


class SimulatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits, and the terms of mode batch; those were tuned on generated days with other seeds than are judged."""

    max_rows: int = 5_000_000
    max_drivers: int = 100_000
    max_wait_s: float = 86_400.0
    min_window_s: float = 0.1
    max_posts: int = 6_000  # points between which every travel time is kept: 10 bytes for each pair
    max_bound_requests: int = 5_000  # of `--bound`, whose flow has a branch for most pairs of requests
    pairs: int = 24  # free cabs that are weighed for each request, the first to arrive; while open as many under way
    ahead_s: float = 120.0  # how soon a cab must finish to be waited for
    ahead_open_s: float = 20.0  # the same while assignments stay open until the pickup
    left_s: float = 1_500.0  # what leaving a request for the next window costs, in seconds of pickup time
    left_spread_s: float = 320.0  # the same where idle cabs are spread: soon a nearer one may be free
    left_per_waited_s: float = 0.0  # so much more for each second waited
    spread_every_s: float = 30.0  # between looks at where idle cabs should wait
    spread_ahead_s: float = 600.0  # the requests that are expected within this time draw them
    spread_pairs: int = 200  # cabs that are weighed for each place
