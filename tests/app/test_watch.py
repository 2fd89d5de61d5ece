"""The watch puts what rooms know of themselves into the gauges."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

from app.link import Link
from app.rooms import Rooms
from app.stores import Stores
from app.watch import Watch
from core.bus import BusFigures
from location.gateway.counts import Counts
from runtime.clocks import ManualClock
from runtime.host_settings import HostSettings
from runtime.presence import Host, MemoryPresence, Subject
from runtime.roll import Roll
from runtime.telemetry import Metrics


class Backlog:
    waiting, age_s, dead = 0, 0.0, 0


class IdleRelay:
    async def backlog(self) -> Backlog:
        return Backlog()


def counts(**known: int) -> Counts:
    fields: dict[str, Any] = dict.fromkeys(Counts.__dataclass_fields__, 0)
    return Counts(**{**fields, "pings_dropped": {}, "closed": {}, **known})


def watch_over(metrics: Metrics, roll: Roll | None) -> Watch:
    """A watch over three drivers, two of them stale, and a desk that chose seven without shared claims."""
    gateway = SimpleNamespace(counts=lambda: counts(connections=3, stale=2))
    learner = SimpleNamespace(counts={"travels": 0})
    rooms = SimpleNamespace(gateway=gateway, rides=SimpleNamespace(unshared_claims=7), learner=learner)
    bus = SimpleNamespace(figures=lambda: BusFigures([], produced=0))
    stores = SimpleNamespace(metrics=metrics, relay=IdleRelay(), bus=bus, clock=ManualClock(), positions=None)
    link = cast(Link, SimpleNamespace(roll=roll)) if roll else None
    return Watch(cast(Rooms, rooms), cast(Stores, stores), link)


async def test_stale_drivers_untold_arrivals_and_unshared_claims_are_shown() -> None:
    async def replaced(host: Host, subject: Subject, epoch: int) -> None: ...

    metrics = Metrics()
    roll = Roll(MemoryPresence(lambda: 0.0), Host("a", "a:1"), replaced, HostSettings(), random.Random(1))
    watch = watch_over(metrics, roll)

    def shown() -> list[float | None]:
        names = ("driver_connections", "drivers_stale", "presence_untold", "claims_unshared")
        return [metrics.registry.get_sample_value(f"hexcab_{name}") for name in names]

    roll.join(Subject("driver", "drv_1"))
    await watch.look()
    assert shown() == [3, 2, 1, 7]
    roll.join(Subject("driver", "drv_2"))
    await watch.look()
    assert shown() == [3, 2, 2, 7]


async def test_one_host_alone_has_nobody_to_tell() -> None:
    metrics = Metrics()
    await watch_over(metrics, None).look()
    assert metrics.registry.get_sample_value("hexcab_presence_untold") == 0
