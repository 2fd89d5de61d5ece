"""Every Redis key of dispatch."""

from __future__ import annotations


def claim(driver_id: str) -> str:
    """String: the offer for which a search has chosen the driver. Expires with the offer."""
    return f"hexcab:claim:{{{driver_id}}}"
