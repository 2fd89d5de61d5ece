"""Logs that stay readable while a server is away, and metrics that say what a bus says of itself."""

from __future__ import annotations

import io
import json
import logging

from core.bus import BusFigures, GroupFigures
from runtime.telemetry import Metrics, Seldom, log_to


def _record(name: str, message: str, at: float, *values: object) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.ERROR, "", 0, message, values, None)
    record.created = at
    return record


def test_a_client_says_each_thing_once_a_minute_and_others_say_what_they_like() -> None:
    seldom = Seldom("aiokafka", every_s=60.0)
    assert seldom.filter(_record("aiokafka.conn", "cannot connect to %s", 100.0, "a"))
    assert not seldom.filter(_record("aiokafka.conn", "cannot connect to %s", 159.0, "b"))
    assert seldom.filter(_record("aiokafka.conn", "no metadata", 101.0))
    assert seldom.filter(_record("aiokafka.conn", "cannot connect to %s", 160.0, "a"))
    assert all(seldom.filter(_record("hexcab.kafka", "again", 100.0 + n)) for n in range(3))


def test_kafkas_client_is_not_heard_all_the_time() -> None:
    stream = io.StringIO()
    handler = log_to(stream, "info")
    try:
        for number in range(5):
            logging.getLogger("aiokafka.cluster").error("broker %d is away", number)
    finally:
        logging.getLogger().removeHandler(handler)
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["broker 0 is away"]


def test_the_bus_is_shown_by_group_and_doubt_by_its_length() -> None:
    metrics = Metrics()
    group = GroupFigures("billing", waiting=7, in_hand=3, oldest_s=12.5, handled=90, repeated=2, dead=1)
    metrics.show_bus(BusFigures([group], produced=40, in_doubt_since=1_000.0), now=1_030.0)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"hexcab_bus_{name}", labels)

    assert value("waiting", group="billing") == 7
    assert value("age_seconds", group="billing") == 12.5
    assert value("dead", group="billing") == 1
    assert value("events", group="billing", outcome="handled") == 90
    assert value("events", group="billing", outcome="repeated") == 2
    assert (value("produced"), value("in_doubt_seconds")) == (40, 30)
    metrics.show_bus(BusFigures([group], produced=41), now=1_031.0)
    assert (value("produced"), value("in_doubt_seconds")) == (41, 0)
