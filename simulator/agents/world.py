"""What all agents share: the engine's addresses and time, the roads, tokens, and how people behave."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.clock import Clock
from core.geo import FloatArray, LatLng
from simulator.agents.codes import StartCodes
from simulator.agents.recorder import Recorder


class Drive(Protocol):
    """A way along the road: points of shape (n,) and when each is passed, in seconds from the start."""

    @property
    def lat(self) -> FloatArray: ...

    @property
    def lng(self) -> FloatArray: ...

    @property
    def at_s(self) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class DriverHabits:
    """Shares are 0..1, times are engine seconds."""

    decline: float = 0.08
    ignore: float = 0.04
    answer_s: tuple[float, float] = (1.0, 6.0)
    drop_out_every_s: float = 1_800.0  # in the mean, each driver
    away_s: tuple[float, float] = (5.0, 60.0)
    rest_s: float = 60.0  # in the mean, between two aimless drives
    patience_at_pickup_s: float = 300.0


@dataclass(frozen=True, slots=True)
class RiderHabits:
    """Shares are 0..1, times are engine seconds."""

    look_s: tuple[float, float] = (2.0, 20.0)  # at the cabs around, before booking
    by_socket: float = 0.5  # of bookings; the others go by HTTP
    cancel: float = 0.05
    cancel_after_s: tuple[float, float] = (5.0, 240.0)
    rate: float = 0.6
    premium: float = 0.2  # of those who sign up
    patience_s: float = 7_200.0  # then the rider forgets about the ride


@dataclass(frozen=True, slots=True)
class World:
    """Shared by every agent. `path` raises InvalidInput where there is no way; `place` draws a point on a road."""

    clock: Clock
    base_url: str  # http://host:port
    gateway_url: str  # ws://host:port
    mint: Callable[[str, str], str]  # (scope, id) -> bearer token
    path: Callable[[LatLng, LatLng], Drive]
    place: Callable[[random.Random], LatLng]
    recorder: Recorder
    codes: StartCodes
    driver_habits: DriverHabits = DriverHabits()
    rider_habits: RiderHabits = RiderHabits()

    def driver_socket_url(self) -> str:
        """Where drivers connect."""
        return self.gateway_url.rstrip("/").removesuffix("/v1/driver/ws") + "/v1/driver/ws"

    def rider_socket_url(self) -> str:
        """Where riders connect."""
        return "ws" + self.base_url.rstrip("/").removeprefix("http") + "/v1/rider/ws"


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-up driver or rider."""

    id: str
    token: str
