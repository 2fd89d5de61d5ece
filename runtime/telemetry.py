"""What an operator sees: structured logs with the ids of the work at hand, and metrics."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import IO

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from core.bus import BusFigures
from core.clock import rfc3339

http_request: ContextVar[str | None] = ContextVar("http_request", default=None)  # the call that began the work
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)  # the ride request
trip_id: ContextVar[str | None] = ContextVar("trip_id", default=None)

_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


@contextlib.contextmanager
def of_trip(trip: str) -> Iterator[None]:
    """Lines that are logged inside carry the trip's id."""
    before = trip_id.set(trip)
    try:
        yield
    finally:
        trip_id.reset(before)


def _message(record: logging.LogRecord) -> str:
    """The message; one that a library has put together wrongly is shown as it is, rather than lost."""
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return f"{record.msg} {record.args}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what a call passes in `extra` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        ids = {"http_request_id": http_request.get(), "request_id": request_id.get(), "trip_id": trip_id.get()}
        line.update({name: value for name, value in ids.items() if value is not None})
        line.update({name: value for name, value in record.__dict__.items() if name not in _STANDARD})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to(stream: IO[str], level: str) -> logging.Handler:
    """Send the engine's logs to a stream as JSON lines; returns the handler so that a caller may take it away.

    The audit log does not follow the level: who looked at what is always kept.
    """
    # nothing of this is shown, and each line would find it out
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for noisy in ("aiosqlite", "numba", "websockets", "httpx", "httpcore", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    handler.addFilter(Seldom("aiokafka"))
    logging.getLogger("cassandra").setLevel(logging.ERROR)  # it warns of every try to come back to a node
    logging.getLogger("audit").setLevel(logging.INFO)
    return handler


class Seldom(logging.Filter):
    """Lets each message of some loggers pass once a minute: while its server is away, a client says it all the time."""

    def __init__(self, loggers: str, every_s: float = 60.0) -> None:
        super().__init__()
        self._prefix = loggers
        self._every_s = every_s
        self._said: dict[str, float] = {}  # by text before its values are put in: there are as many as in the code

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(self._prefix):
            return True
        if record.created - self._said.get(record.msg, -math.inf) < self._every_s:
            return False
        self._said[record.msg] = record.created
        return True


class Metrics:
    """Every metric of the engine, in a registry of its own so that two engines in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        seconds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
        waits = (1, 2, 5, 10, 20, 30, 60, 90, 120)
        self.http_seconds = Histogram(
            "hexcab_http_seconds",
            "Time to answer",
            ["method", "route", "status"],
            registry=self.registry,
            buckets=seconds,
        )
        self.events = Counter("hexcab_events", "Events published", ["type"], registry=self.registry)
        self.searches = Counter("hexcab_searches", "Searches ended", ["outcome"], registry=self.registry)
        self.offers = Counter("hexcab_offers", "Offers ended", ["outcome"], registry=self.registry)
        self.match_seconds = Histogram(
            "hexcab_match_seconds", "Engine seconds from request to cab", registry=self.registry, buckets=waits
        )
        self.outbox_waiting = Gauge("hexcab_outbox_waiting", "Events not yet published", registry=self.registry)
        self.outbox_age = Gauge("hexcab_outbox_age_seconds", "Age of the oldest waiting event", registry=self.registry)
        self.outbox_dead = Gauge("hexcab_outbox_dead", "Events set aside after too many tries", registry=self.registry)
        self.bus_waiting = self._gauge(
            "hexcab_bus_waiting", "Events that a consumer group has not handled, of the partitions read here", "group"
        )
        self.bus_age = self._gauge("hexcab_bus_age_seconds", "Age of a group's oldest event in hand", "group")
        self.bus_dead = self._gauge("hexcab_bus_dead", "Events that a group gave up: dead letters", "group")
        self.bus_events = self._gauge(
            "hexcab_bus_events", "Events that came to a group, by what became of them", "group", "outcome"
        )
        self.bus_produced = self._gauge("hexcab_bus_produced", "Events that the brokers have from here")
        self.bus_in_doubt = self._gauge(
            "hexcab_bus_in_doubt_seconds", "For how long nobody could tell which regions are ours"
        )
        self.positions = self._gauge(
            "hexcab_positions", "Drivers' positions for followers, by what became of them", "outcome"
        )
        self.pings = Gauge("hexcab_pings", "Pings by what became of them", ["outcome"], registry=self.registry)
        self.trail_waiting = Gauge("hexcab_trail_waiting", "Pings that wait for the trail log", registry=self.registry)
        self.trail_away = Gauge("hexcab_trail_away", "1 while the trail log is away", registry=self.registry)
        self.trail_lost = Gauge(
            "hexcab_trail_lost", "Pings the full trail queue did not take", ["kind"], registry=self.registry
        )
        self.traffic = self._gauge("hexcab_traffic", "What travel times were learned from here", "what")
        self.connections = self._gauge("hexcab_driver_connections", "Connected drivers")
        self.stale = self._gauge(
            "hexcab_drivers_stale", "Drivers connected and open for work whose last ping is not fresh"
        )
        self.presence_untold = self._gauge(
            "hexcab_presence_untold", "Arrivals and departures that presence has not been told"
        )
        self.claims_unshared = self._gauge(
            "hexcab_claims_unshared", "Drivers chosen while the claims that workers share were away"
        )
        self.rss_bytes = Gauge("hexcab_rss_bytes", "Resident memory", registry=self.registry)

    def show_bus(self, figures: BusFigures, now: float) -> None:
        """Set the gauges of the bus at engine time `now`."""
        for each in figures.groups:
            self.bus_waiting.labels(each.group).set(each.waiting)
            self.bus_age.labels(each.group).set(each.oldest_s)
            self.bus_dead.labels(each.group).set(each.dead)
            self.bus_events.labels(each.group, "handled").set(each.handled)
            self.bus_events.labels(each.group, "repeated").set(each.repeated)
        self.bus_produced.set(figures.produced)
        self.bus_in_doubt.set(0.0 if figures.in_doubt_since is None else max(0.0, now - figures.in_doubt_since))

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, registry=self.registry)
