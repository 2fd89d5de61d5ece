"""How an archived trip is kept, in whatever store: whole, as JSON, so that equal trips are equal bytes."""

from __future__ import annotations

import msgspec

from trips.model import Trip

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Trip).decode
