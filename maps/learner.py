"""The learner: turns what our cars drive into travel times for every process, one process at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.clock import Clock
from core.errors import BadFile, Unavailable
from maps.cities import City
from maps.drives import DriveReader, Drives, together
from maps.ports import Driving, FinishedRide, Tracer, TrafficStore
from maps.published import PublishedTimes
from maps.traffic import Traffic
from maps.trails import DrivenTrail
from runtime.lease import Lease
from runtime.traffic_settings import TrafficSettings

_log = logging.getLogger("hexcab.traffic")

_LEAST_TRIP_S = 30.0  # a ride shorter than this says more of its stops than of the roads


@dataclass(frozen=True, slots=True)
class LearnerPorts:
    """What the learner needs of others."""

    driving: Driving
    trace: Tracer
    store: TrafficStore
    lease: Lease


class TrafficLearner:
    """Every `every_s` learns what was driven since, and publishes the times that follow. Who has the lease works.

    A crash loses what was learned since the last `keep_every_s`.
    """

    def __init__(self, city: City, ports: LearnerPorts, clock: Clock, settings: TrafficSettings) -> None:
        self._city = city
        self._ports = ports
        self._clock = clock
        self._settings = settings
        self._reader = DriveReader(city.roads, settings)
        self._traffic: Traffic | None = None  # None: not ours to learn
        self._kept_at = 0.0
        self.counts = {"trails": 0, "off_road": 0, "drives": 0, "rides": 0}

    @property
    def traffic(self) -> Traffic | None:
        """What was learned, where this process is the one that learns."""
        return self._traffic

    async def lead(self) -> None:
        """Hold the lease, or take it where nobody has it. Raises Unavailable."""
        lease = self._ports.lease
        if not (await lease.renew() if self._traffic is not None else await lease.take()):
            self._traffic = None
        elif self._traffic is None:
            traffic = Traffic(self._city.roads, self._settings)
            try:
                traffic.restore(await self._ports.store.learned(self._city.name), self._city.fingerprint)
            except BadFile as error:
                _log.warning("learning begins anew: %s", error.detail)
                traffic = Traffic(self._city.roads, self._settings)
            self._traffic, self._kept_at = traffic, self._clock.now()

    async def learn(self) -> None:
        """Learn and publish once; nothing where another process does. Raises Unavailable."""
        traffic, now = self._traffic, self._clock.now()
        if traffic is None or not self._ours():
            return
        trails, rides = await self._ports.driving(now, self._settings.max_trails)
        drives = await self._drives(trails)
        expected = self._expected(rides)
        slowdown = await asyncio.to_thread(_learn, traffic, drives, expected, now)
        for name, count in (("trails", len(trails)), ("drives", len(drives)), ("rides", len(expected))):
            self.counts[name] += count
        if not (len(drives) or expected) or not self._ours():  # it may have taken so long that another has begun
            return
        body = PublishedTimes.of(self._city, slowdown, now).encode()
        await self._ports.store.publish(self._city.name, body, now)
        if now - self._kept_at >= self._settings.keep_every_s:
            await self.keep()

    async def keep(self) -> None:
        """Save what was learned. Raises Unavailable."""
        if self._traffic is not None and self._ours():
            now = self._clock.now()
            parts = await asyncio.to_thread(self._traffic.save, self._city.fingerprint)
            await self._ports.store.keep(self._city.name, parts, now)
            self._traffic.saved(parts)
            self._kept_at = now

    async def close(self) -> None:
        """Save what was learned, and let another process learn."""
        try:
            await self.keep()
            if self._traffic is not None:
                await self._ports.lease.release()
        except Unavailable as error:
            _log.warning("what was learned last is lost: %s", error.detail)

    def _ours(self) -> bool:
        return self._ports.lease.held

    async def _drives(self, trails: Sequence[DrivenTrail]) -> Drives:
        found = []
        for trail in trails:
            try:
                traced = await self._ports.trace(trail.lat, trail.lng, trail.at_s)
            except Unavailable as error:  # the rest is tomorrow's news
                _log.info("trails are not matched: %s", error.detail)
                break
            if traced is None:
                self.counts["off_road"] += 1
            else:
                found.append(self._reader.read(traced, trail.at_s))
        return together(found)

    def _expected(self, rides: Sequence[FinishedRide]) -> list[tuple[float, float, float]]:
        """(expected, took, ended at) of the rides whose ends are on the road."""
        rides = [ride for ride in rides if ride.took_s >= _LEAST_TRIP_S]
        if not rides:
            return []
        eta = self._city.eta
        pickup, dropoff = (
            eta.snap(np.array([at.lat for at in places]), np.array([at.lng for at in places]))
            for places in ([ride.pickup for ride in rides], [ride.dropoff for ride in rides])
        )
        seconds = eta.pairs(pickup, dropoff).seconds.tolist()
        return [
            (expected, ride.took_s, ride.ended_at)
            for ride, expected in zip(rides, seconds, strict=True)
            if _LEAST_TRIP_S / 2 <= expected < np.inf
        ]


def _learn(traffic: Traffic, drives: Drives, rides: list[tuple[float, float, float]], now: float) -> np.ndarray:
    traffic.observe(drives.take(np.argsort(drives.ended_at, kind="stable")))
    for expected, took, ended_at in rides:
        traffic.trip(expected, took, ended_at)
    return traffic.slowdown(now)
