"""Logs that stay readable while a server is away."""

from __future__ import annotations

import io
import json
import logging

from runtime.telemetry import Seldom, log_to


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
