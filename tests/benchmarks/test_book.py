"""The pure parts of the book benchmark."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from benchmarks.asking import Waits
from benchmarks.bookings import Asks
from benchmarks.harness import WrongAnswer
from benchmarks.pgbench import Pgbench
from core.geo import LatLng
from runtime.auth import Identity, Tokens

ROWS = {
    "idempotency_keys": {"scope_key": "5f", "status": 201, "body": '{"status":"searching"}', "at": 1.5},
    "ride_requests": {"request_id": "req_1", "rider_id": "rdr_1", "segment": "O'Hare", "quote_id": None},
    "outbox": {"seq": 1, "event_id": "ride-requested:req_1", "key": "req_1", "body": "{}", "state": "waiting"},
}


def test_pgbench_runs_the_rows_that_the_engine_wrote_in_one_transaction(tmp_path: Path) -> None:
    Pgbench(ROWS, tmp_path)
    lines = (tmp_path / "transaction" / "booking.sql").read_text("utf-8").splitlines()
    begin, key, request, event, end = lines[2:]
    assert (begin, end) == ("BEGIN;", "END;")
    assert key.startswith("INSERT INTO idempotency_keys (scope_key, status, body, at) VALUES (rpad(")
    assert key.endswith(", 201, :idempotency_keys_body, 1.5);")
    assert request.startswith("INSERT INTO ride_requests (request_id, rider_id, segment, quote_id) VALUES ('req_' || ")
    assert request.endswith(", 'O''Hare', NULL);")
    assert "INTO outbox (event_id, key, body)" in event, "the server fills in what it fills in for the engine"


def test_the_rows_of_one_transaction_belong_together_and_those_of_two_do_not(tmp_path: Path) -> None:
    Pgbench(ROWS, tmp_path)
    script = (tmp_path / "transaction" / "booking.sql").read_text("utf-8")
    assert script.count("\\set ask random(") == script.count("\\set rider random(") == 1
    for fresh in ("scope_key", "request_id", "rider_id", "event_id"):
        assert f"'{ROWS['ride_requests'].get(fresh)}'" not in script


def test_one_statement_has_the_same_inserts(tmp_path: Path) -> None:
    Pgbench(ROWS, tmp_path, one_statement=True)
    script = (tmp_path / "one_statement" / "booking.sql").read_text("utf-8")
    assert script.count(";") == 1
    assert [script.count(f"INSERT INTO {table}") for table in ROWS] == [1, 1, 1]


def test_each_request_is_of_a_rider_of_its_own_who_may_ask(tmp_path: Path) -> None:
    (tmp_path / "token.key").write_bytes(key := b"k" * 32)
    data = Asks(tmp_path, [LatLng(57.7, 11.9), LatLng(57.8, 11.8)]).bytes(2)
    riders = []
    while data:
        (length,) = struct.unpack("=I", data[:4])
        head, body = data[4 : 4 + length].split(b"\r\n\r\n")
        token = head.partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()
        identity = Tokens(key).verify(token)
        assert identity == Identity("rider", identity.subject)
        assert f'"rider_id":"{identity.subject}"'.encode() in body
        assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
        riders.append(identity.subject)
        data = data[4 + length :]
    assert len(set(riders)) == len(riders) == 2


async def test_the_first_offer_counts_and_a_missing_one_fails() -> None:
    waits = Waits(give_up_s=0.01)
    waits.heard({"type": "offer", "request_id": "req_1", "offer_id": "off_1"})
    waits.heard({"type": "offer", "request_id": "req_1", "offer_id": "off_2"})
    _, offer = await waits.first("req_1")
    assert offer["offer_id"] == "off_1"
    with pytest.raises(WrongAnswer, match="req_2"):
        await waits.first("req_2")
