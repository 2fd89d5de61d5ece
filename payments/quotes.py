"""The quote desk: what a ride would cost, promised for a while."""

from __future__ import annotations

from dataclasses import dataclass

from core.clock import Clock
from core.errors import InvalidInput, NotFound
from core.geo import LatLng
from core.ids import Ids
from payments.fares import NO_SURGE, fare, tariff_of
from payments.model import Quote, QuoteAnswer
from payments.ports import PickupEta, QuoteReader, RoadTravel, SurgeFloor, Transactions
from runtime.settings import FareSettings


@dataclass(frozen=True, slots=True)
class QuotePorts:
    """What the desk works with."""

    transactions: Transactions
    quotes: QuoteReader
    travel: RoadTravel
    pickup_eta: PickupEta
    surge_floor: SurgeFloor


class QuoteDesk:
    """Makes quotes and finds them again."""

    def __init__(self, ports: QuotePorts, ids: Ids, clock: Clock, settings: FareSettings) -> None:
        self._ports = ports
        self._ids = ids
        self._clock = clock
        self._settings = settings
        self._tariff = tariff_of(settings)

    async def quote(self, rider_id: str, pickup: LatLng, dropoff: LatLng) -> QuoteAnswer:
        """Promise a price for `quote_s`. Raises InvalidInput when a point is not on a road."""
        leg = await self._ports.travel(pickup, dropoff)
        pickup_eta_s = await self._ports.pickup_eta(pickup)
        surge = max(NO_SURGE, self._ports.surge_floor(pickup))
        quote = Quote(
            quote_id=self._ids.new("quo"),
            rider_id=rider_id,
            pickup=pickup,
            dropoff=dropoff,
            distance_m=leg.distance_m,
            duration_s=leg.duration_s,
            fare=fare(self._tariff, leg.distance_m, leg.duration_s, surge),
            surge=surge,
            expires_at=self._clock.now() + self._settings.quote_s,
        )
        async with self._ports.transactions() as uow:
            await uow.quotes.add(quote)
        return QuoteAnswer(quote, pickup_eta_s)

    async def get(self, quote_id: str, rider_id: str) -> Quote:
        """A rider's quote that still holds. Raises NotFound (unknown, someone else's), InvalidInput quote_expired."""
        quote = await self._ports.quotes.get(quote_id)
        if quote is None or quote.rider_id != rider_id:
            raise NotFound(f"no quote {quote_id}")
        if quote.expires_at <= self._clock.now():
            raise InvalidInput(f"quote {quote_id} has expired; ask for a new one", code="quote_expired")
        return quote

    async def purge(self) -> int:
        """Forget quotes that expired `quote_keep_s` ago; how many. A trip keeps its own copy."""
        async with self._ports.transactions() as uow:
            return await uow.quotes.purge(self._clock.now() - self._settings.quote_keep_s)
