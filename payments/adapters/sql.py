"""Quotes in SQL."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import sqlalchemy as sa

from core.geo import LatLng
from core.money import Money
from payments.model import Quote
from runtime.sql import Database, Transaction, metadata

quotes = sa.Table(
    "quotes",
    metadata,
    sa.Column("quote_id", sa.String(40), primary_key=True),
    sa.Column("rider_id", sa.String(40), nullable=False),
    sa.Column("pickup_lat", sa.Double, nullable=False),
    sa.Column("pickup_lng", sa.Double, nullable=False),
    sa.Column("dropoff_lat", sa.Double, nullable=False),
    sa.Column("dropoff_lng", sa.Double, nullable=False),
    sa.Column("distance_m", sa.Double, nullable=False),
    sa.Column("duration_s", sa.Double, nullable=False),
    sa.Column("fare_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("surge", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
)


class SqlQuotes:
    """The QuoteStore port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def add(self, quote: Quote) -> None:
        row = {
            "quote_id": quote.quote_id,
            "rider_id": quote.rider_id,
            "pickup_lat": quote.pickup.lat,
            "pickup_lng": quote.pickup.lng,
            "dropoff_lat": quote.dropoff.lat,
            "dropoff_lng": quote.dropoff.lng,
            "distance_m": quote.distance_m,
            "duration_s": quote.duration_s,
            "fare_minor": quote.fare.amount_minor,
            "currency": quote.fare.currency,
            "surge": quote.surge,
            "expires_at": quote.expires_at,
        }
        await self._tx.connection.execute(sa.insert(quotes).values(**row))

    async def purge(self, before: float) -> int:
        done = await self._tx.connection.execute(sa.delete(quotes).where(quotes.c.expires_at < before))
        return int(done.rowcount)


class SqlQuoteReader:
    """The QuoteReader port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, quote_id: str) -> Quote | None:
        query = sa.select(quotes).where(quotes.c.quote_id == quote_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _quote(row)


def _quote(row: sa.RowMapping) -> Quote:
    return Quote(
        quote_id=row["quote_id"],
        rider_id=row["rider_id"],
        pickup=LatLng(row["pickup_lat"], row["pickup_lng"]),
        dropoff=LatLng(row["dropoff_lat"], row["dropoff_lng"]),
        distance_m=row["distance_m"],
        duration_s=row["duration_s"],
        fare=Money(row["fare_minor"], row["currency"]),
        surge=row["surge"],
        expires_at=row["expires_at"],
    )


class SqlUnitOfWork:
    """The UnitOfWork port on one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.quotes = SqlQuotes(tx)


class SqlTransactions:
    """The Transactions port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[SqlUnitOfWork]:
        async with self._database.transaction() as tx:
            yield SqlUnitOfWork(tx)
