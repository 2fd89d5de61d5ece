"""A quote: a promised price, and until when."""

from __future__ import annotations

import msgspec

from core.geo import LatLng
from core.money import Money


class RoadLeg(msgspec.Struct, frozen=True):
    """A way by road: metres and seconds."""

    distance_m: float
    duration_s: float


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A price promised to one rider for one ride. `expires_at` is epoch seconds."""

    quote_id: str
    rider_id: str
    pickup: LatLng
    dropoff: LatLng
    distance_m: float
    duration_s: float
    fare: Money
    surge: float
    expires_at: float


class QuoteAnswer(msgspec.Struct, frozen=True):
    """A fresh quote, and how far the nearest cab is right now; None when none is near."""

    quote: Quote
    pickup_eta_s: float | None
