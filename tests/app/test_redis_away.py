"""While Redis is away no booking is taken and no ticket lets anybody in; bearer tokens do."""

from __future__ import annotations

from typing import cast

import pytest

from accounts.service import RiderDesk
from app.wiring.drivers import DriverTokens
from app.wiring.edge import Rides
from core.errors import Unavailable
from core.geo import LatLng
from dispatch.service import RideDesk
from runtime.auth import Identity, MemoryTicketUses, Tickets, Tokens
from web.ports import RideAsk


def away() -> None:
    raise Unavailable("Redis did not answer", code="store_unavailable")


async def test_a_booking_is_refused_before_anything_is_written() -> None:
    nobody = cast(RideDesk, None), cast(RiderDesk, None)  # who are not asked
    rides = Rides(*nobody, away)
    place = LatLng(57.7, 11.97)
    with pytest.raises(Unavailable) as refused:
        await rides.request(RideAsk(rider_id="rdr_1", pickup=place, dropoff=place, quote_id=None))
    assert refused.value.code == "store_unavailable"
    assert refused.value.retry_after_s > 0


def test_a_ticket_is_refused_at_the_handshake_and_a_token_is_not() -> None:
    tokens, tickets = Tokens(b"k" * 32), Tickets(b"t" * 32, 30.0, MemoryTicketUses())
    driver = Identity("driver", "drv_1")
    authorize = DriverTokens(tokens, tickets, away)
    with pytest.raises(Unavailable):
        authorize(None, tickets.issue(driver))
    assert authorize(tokens.sign("driver", "drv_1", 60), None) == driver
