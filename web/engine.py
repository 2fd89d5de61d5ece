"""The engine as the edge sees it: one frozen bundle of services that app fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.clock import Clock
from runtime.auth import Tickets, Tokens
from runtime.geographies import Geographies
from runtime.telemetry import Metrics
from web.hub import Hub
from web.map_ports import CityMap, Drawn, Roads, Segments
from web.ports import Accounts, Body, Cabs, Check, Fleet, IdempotencyStore, Quotes, Rides, Sessions, Tracks, Trips


@dataclass(frozen=True, slots=True)
class Security:
    """Who may come in."""

    tokens: Tokens
    tickets: Tickets
    answers: IdempotencyStore


@dataclass(frozen=True, slots=True)
class Engine:
    """Every service the edge calls. `clock` is engine time, `wall` the real one, which sockets are paced by."""

    clock: Clock
    wall: Clock
    security: Security
    hub: Hub
    metrics: Metrics
    sessions: Sessions
    accounts: Accounts
    quotes: Quotes
    rides: Rides
    trips: Trips
    cabs: Cabs
    city: CityMap
    tracks: Tracks
    fleet: Fleet
    zones: Drawn
    closures: Drawn
    roads: Roads
    segments: Segments
    readiness: Mapping[str, Check]
    driver_schemas: Body  # JSON Schema of the driver gateway's messages
    gateway_port: Callable[[], int] | None = None  # where drivers' sockets are; None: at settings.web.gateway_port
    geographies: Geographies | None = None  # None: there is one only
