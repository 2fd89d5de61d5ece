"""Where trails and archived trips rest: in a file of the data directory, or in the Cassandra of the settings."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from core.clock import Clock
from location.adapters.cassandra import TABLES as TRAIL_TABLES
from location.adapters.cassandra import CassandraTrail
from location.adapters.sqlite_trail import SqliteTrail
from location.ports import TrailLog
from runtime.cassandra import Cassandra
from runtime.datadir import DataDir
from runtime.settings import Settings
from runtime.sql import Database
from trips.adapters.cassandra import TABLES as TRIP_TABLES
from trips.adapters.cassandra import CassandraTripArchive
from trips.adapters.sqlite_archive import SqliteTripArchive
from trips.ports import TripArchive


@dataclass(frozen=True, slots=True)
class Archives:
    """The two stores that only grow.

    `check` raises Unavailable while they are away. `needed` says whether a process is not ready then: trips go on
    without Cassandra, while a file that cannot be read is a disk that has failed.
    """

    trails: TrailLog
    trips: TripArchive
    check: Callable[[], Coroutine[Any, Any, None]]
    needed: bool


async def open_archives(
    data: DataDir, settings: Settings, clock: Clock, closing: contextlib.AsyncExitStack
) -> Archives:
    """Open them; `closing` closes them. Raises Unavailable for a file that cannot be used.

    Cassandra may be away: it is connected to in the background, and calls raise Unavailable until then.
    """
    if settings.cassandra.hosts:
        cassandra = open_cassandra(settings, closing)
        trails = CassandraTrail(cassandra, clock, settings.location.raw_ping_retention_s)
        return Archives(trails, CassandraTripArchive(cassandra), cassandra.check, needed=False)
    file = Database(data.archive_url, settings.sql)
    closing.push_async_callback(file.close)
    trail, trips = SqliteTrail(file), SqliteTripArchive(file)
    await trail.prepare()
    await trips.prepare()

    async def answers() -> None:
        async with file.reading():
            pass

    return Archives(trail, trips, answers, needed=True)


def open_cassandra(settings: Settings, closing: contextlib.AsyncExitStack) -> Cassandra:
    """A session that makes the tables of every room; it connects in the background, and `closing` ends it."""
    cassandra = Cassandra(settings.cassandra, (*TRAIL_TABLES, *TRIP_TABLES), random.Random())
    cassandra.start()
    closing.push_async_callback(cassandra.close)
    return cassandra
