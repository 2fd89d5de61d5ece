"""TrailLog in Cassandra: pings of trips by trip, for good; the others by driver and day, until they expire.

A ping of a trip is written once. The track of a driver is put together from the days and from the trips of these days,
which a small table lists. A driver's last position is written only after the points before it are safe, because a
welcome tells the app to forget what lies before it; the newest `ts` wins, whatever the order of the writes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence

from core.clock import Clock
from core.recent import Recent
from location.messages import Position
from location.model import LastPosition, Trail, TrailPoint
from runtime.cassandra import UNSET, Cassandra, Table, Write

_DAY_MS = 86_400_000
_RECENT_TRIPS = 100_000  # days of trips that are known to be listed
_PING = "lat double, lng double, heading float, speed float, accuracy float"

# only written once, and all of a day's expires together: whole files are dropped, and nothing ever waits to be deleted
_EXPIRING = (
    "compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'HOURS',"
    " 'compaction_window_size': 2} AND gc_grace_seconds = 10800"
)
_KEPT = "compaction = {'class': 'UnifiedCompactionStrategy'}"

TABLES = (
    Table(
        "pings_by_trip",
        f"trip_id text, ts bigint, seq bigint, driver_id text, {_PING}, PRIMARY KEY ((trip_id), ts, seq, driver_id)",
        _KEPT,
    ),
    Table(
        "idle_pings_by_driver",
        f"driver_id text, day int, ts bigint, seq bigint, {_PING}, PRIMARY KEY ((driver_id, day), ts, seq)",
        _EXPIRING,
    ),
    Table(
        "trip_days_by_driver", "driver_id text, day int, trip_id text, PRIMARY KEY ((driver_id), day, trip_id)", _KEPT
    ),
    Table(
        "last_positions",
        "driver_id text PRIMARY KEY, ts bigint, seq bigint, lat double, lng double, heading float, speed float,"
        " online boolean, trip_id text",
        _KEPT,
    ),
)

_COLUMNS = "ts, seq, lat, lng, heading, speed, accuracy"
_ADD_TRIP = f"INSERT INTO KEYSPACE.pings_by_trip (trip_id, driver_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_IDLE = (
    f"INSERT INTO KEYSPACE.idle_pings_by_driver (driver_id, day, {_COLUMNS}) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?"
)
_ADD_DAY = "INSERT INTO KEYSPACE.trip_days_by_driver (driver_id, day, trip_id) VALUES (?, ?, ?)"
_SET_LAST = (
    "INSERT INTO KEYSPACE.last_positions (driver_id, ts, seq, lat, lng, heading, speed, online, trip_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_OF_TRIP = f"SELECT {_COLUMNS} FROM KEYSPACE.pings_by_trip WHERE trip_id = ?"
_OF_TRIP_IN = f"SELECT {_COLUMNS}, driver_id FROM KEYSPACE.pings_by_trip WHERE trip_id = ? AND ts >= ? AND ts < ?"
_OF_DAY = f"SELECT {_COLUMNS} FROM KEYSPACE.idle_pings_by_driver WHERE driver_id = ? AND day = ? AND ts >= ? AND ts < ?"
_DAYS = "SELECT trip_id FROM KEYSPACE.trip_days_by_driver WHERE driver_id = ? AND day >= ? AND day <= ?"
_LAST = "SELECT seq, ts, lat, lng, heading, speed, online, trip_id FROM KEYSPACE.last_positions WHERE driver_id = ?"


class CassandraTrail:
    """Pings without a trip expire `keep_s` after their own time. That is wall time: `clock` must be the wall's."""

    def __init__(self, cassandra: Cassandra, clock: Clock, keep_s: float) -> None:
        self._cassandra = cassandra
        self._clock = clock
        self._keep_s = keep_s
        self._listed: Recent[tuple[str, int, str]] = Recent(_RECENT_TRIPS)

    async def append(self, points: Sequence[TrailPoint]) -> None:
        """Keep points; safe on return. Raises Unavailable: some may be kept then, and no last position is too new."""
        if not points:
            return
        days = dict.fromkeys(self._unlisted(points))
        await self._cassandra.write([*self._rows(points), *(Write(_ADD_DAY, day) for day in days)])
        for day in days:
            self._listed.add(day)
        newest: dict[str, TrailPoint] = {}
        for point in points:
            known = newest.get(point.driver_id)
            if known is None or point.ping.ts > known.ping.ts:
                newest[point.driver_id] = point
        await self._cassandra.write([_last(point) for point in newest.values()])

    async def of_trip(self, trip_id: str) -> Trail:
        """The points of a trip by time."""
        return _trail((*row, trip_id) for row in await self._cassandra.rows(_OF_TRIP, (trip_id,)))

    async def track(self, driver_id: str, start_ms: int, end_ms: int) -> Trail:
        """The points of a driver with start_ms <= ts < end_ms by time."""
        now_ms = int(self._clock.now() * 1000)
        oldest_ms = now_ms - int(self._keep_s * 1000)  # what is older and without a trip has expired
        days = range(max(start_ms, oldest_ms) // _DAY_MS, min(end_ms - 1, now_ms + _DAY_MS) // _DAY_MS + 1)
        ask = self._cassandra.rows
        listed = await ask(_DAYS, (driver_id, *(_day(ms) for ms in (start_ms, end_ms - 1))))
        trips = sorted({trip_id for (trip_id,) in listed})
        idle = asyncio.gather(*(ask(_OF_DAY, (driver_id, day, start_ms, end_ms)) for day in days))
        riding = asyncio.gather(*(ask(_OF_TRIP_IN, (trip_id, start_ms, end_ms)) for trip_id in trips))
        points: dict[tuple[int, int], tuple[object, ...]] = {}
        for rows in await idle:
            points.update({row[:2]: (*row, None) for row in rows})
        for trip_id, rows in zip(trips, await riding, strict=True):
            points.update({row[:2]: (*row[:-1], trip_id) for row in rows if row[-1] == driver_id})
        return _trail(points[key] for key in sorted(points))

    async def last_position(self, driver_id: str) -> LastPosition | None:
        """The newest point of a driver."""
        rows = await self._cassandra.rows(_LAST, (driver_id,))
        if not rows:
            return None
        seq, ts, lat, lng, heading, speed, online, trip_id = rows[0]
        return LastPosition(driver_id, seq, ts, lat, lng, _known(heading), _known(speed), online, trip_id or None)

    async def purge(self, before_ms: int) -> int:
        """Nothing to do: points without a trip expire by themselves."""
        return 0

    def _rows(self, points: Sequence[TrailPoint]) -> Iterable[Write]:
        now = self._clock.now()
        for driver_id, trip_id, _, ping in points:
            if trip_id is not None:
                yield Write(_ADD_TRIP, (trip_id, driver_id, *_columns(ping)))
            elif (left_s := int(self._keep_s - (now - ping.ts / 1000))) > 0:
                yield Write(_ADD_IDLE, (driver_id, _day(ping.ts), *_columns(ping), left_s))

    def _unlisted(self, points: Sequence[TrailPoint]) -> Iterable[tuple[str, int, str]]:
        for driver_id, trip_id, _, ping in points:
            if trip_id is not None and (day := (driver_id, _day(ping.ts), trip_id)) not in self._listed:
                yield day


def _day(ts: int) -> int:
    return max(-(2**31), min(ts // _DAY_MS, 2**31 - 1))


def _columns(ping: Position) -> tuple[object, ...]:
    heading, speed, accuracy = ping.heading, ping.speed, ping.accuracy
    return (
        ping.ts,
        ping.seq,
        ping.lat,
        ping.lng,
        UNSET if heading is None else heading,
        UNSET if speed is None else speed,
        UNSET if accuracy is None else accuracy,
    )


def _last(point: TrailPoint) -> Write:
    """The row is overwritten for ever: NaN and the empty string stand for what is not known, as NULL is a tombstone."""
    driver_id, trip_id, online, ping = point
    heading = math.nan if ping.heading is None else ping.heading
    speed = math.nan if ping.speed is None else ping.speed
    values = (driver_id, ping.ts, ping.seq, ping.lat, ping.lng, heading, speed, online, trip_id or "", ping.ts * 1000)
    return Write(_SET_LAST, values)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _trail(rows: Iterable[Sequence[object]]) -> Trail:
    """From rows that begin with ts and seq, by time; `Trail` has them the other way round."""
    return Trail.of([(seq, ts, *rest) for ts, seq, *rest in rows])
