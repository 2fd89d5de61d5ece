"""What is kept of decisions, so that they can be explained."""

from __future__ import annotations

import msgspec


class ExplainSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of how many looks, and for how long."""

    looks: int = 20  # of one search that are kept; 0: none, nothing can be explained
    drivers: int = 24  # listed of one look: those who were offered the request, the best, the nearest
    keep_s: float = 2_592_000.0  # thirty days
