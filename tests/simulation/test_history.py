"""A history keeps what was asked and answered, once, in order, also on disk."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.history import History, pairs, read


def history() -> History:
    ticks = iter(range(1_000))
    return History(lambda: float(next(ticks)))


def test_a_call_ends_once() -> None:
    told = history()
    call = told.invoke("rid_1", "book", key="k")
    call.ok(request_id="req_1")
    call.unknown(code="late")
    assert [record.type for record in told.records] == ["invoke", "ok"]
    assert call.outcome == "ok"
    assert dict(told.outcomes) == {"invoke": 1, "ok": 1}


def test_calls_are_told_with_their_own_ends() -> None:
    told = history()
    first, second = told.invoke("rid_1", "book", key="a"), told.invoke("rid_2", "book", key="b")
    told.news("rid_1", "request", request_id="req_1")
    second.fail(code="rider_busy")
    first.ok(request_id="req_1")
    told.invoke("rid_1", "cancel_request", request_id="req_1")
    assert [(pair.asked.told["key"], pair.outcome) for pair in pairs(told.records, "book")] == [
        ("a", "ok"),
        ("b", "fail"),
    ]
    (open_call,) = pairs(told.records, "cancel_request")
    assert open_call.outcome == "unknown"


def test_times_only_grow() -> None:
    told = history()
    for number in range(5):
        told.news("drv_1", "ping", seq=number)
    times = [record.at for record in told.records]
    assert times == sorted(set(times))


def test_a_written_history_is_read_as_it_was(tmp_path: Path) -> None:
    told = history()
    told.invoke("rid_1", "book", key="k").unknown(code="ReadTimeout")
    told.news("drv_1", "ack", seq=3)
    told.write(tmp_path / "history.jsonl")
    assert read(tmp_path / "history.jsonl") == told.records
