"""The trail in Cassandra writes in an order that keeps its promises, whatever fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from core.errors import Unavailable
from location.adapters.cassandra import CassandraTrail
from location.messages import Position
from location.model import TrailPoint
from runtime.cassandra import Cassandra, Write
from runtime.clocks import ManualClock

T = 1_790_000_000_000


class Notes:
    """A session that notes what is written, and fails when it is told to."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.fails = False

    async def write(self, writes: Sequence[Write]) -> None:
        if self.fails:
            raise Unavailable("away")
        self.written.append(sorted({write.cql.split()[2] for write in writes}))


def points() -> list[TrailPoint]:
    return [
        TrailPoint("drv_1", "trip_1", True, Position(1, T, 57.7, 11.97)),
        TrailPoint("drv_2", None, True, Position(1, T, 57.7, 11.97)),
    ]


async def test_a_last_position_is_written_after_the_points_before_it_are_safe(clock: ManualClock) -> None:
    session = Notes()
    trail = CassandraTrail(cast(Cassandra, session), clock, 86_400.0)
    session.fails = True
    with pytest.raises(Unavailable):
        await trail.append(points())
    assert session.written == []
    session.fails = False
    await trail.append(points())
    assert session.written == [["idle_pings_by_driver", "pings_by_trip", "trip_days_by_driver"], ["last_positions"]]


async def test_the_days_of_a_trip_are_listed_once_that_is_known_to_be_safe(clock: ManualClock) -> None:
    session = Notes()
    trail = CassandraTrail(cast(Cassandra, session), clock, 86_400.0)
    session.fails = True
    with pytest.raises(Unavailable):
        await trail.append(points()[:1])
    session.fails = False
    await trail.append(points()[:1])
    await trail.append(points()[:1])
    assert [tables for tables in session.written if tables != ["last_positions"]] == [
        ["pings_by_trip", "trip_days_by_driver"],
        ["pings_by_trip"],
    ]


async def test_what_has_outlived_its_retention_is_not_written(clock: ManualClock) -> None:
    session = Notes()
    trail = CassandraTrail(cast(Cassandra, session), clock, 3_600.0)
    await clock.advance(3_600.0, settle_s=0)
    await trail.append(points())
    assert session.written[0] == ["pings_by_trip", "trip_days_by_driver"]
