"""Money as whole minor units of a currency: no floats, no rounding surprises."""

from __future__ import annotations

import msgspec


class Money(msgspec.Struct, frozen=True):
    """An amount in minor units (cents, öre) of an ISO 4217 currency."""

    amount_minor: int
    currency: str
