"""What clients asked and what they were answered, in the order in which they saw it: the history that is judged.

A call begins with `invoke` and ends, at most once, as ok, fail (it certainly did nothing) or unknown (it may have
happened). What the engine tells by itself is news. Times are seconds of one monotonic clock, as all clients are in one
process: of two records, the earlier one did come first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

Outcome = Literal["ok", "fail", "unknown"]
Body = dict[str, Any]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One line. `call` is the number of the invocation that an ending belongs to, its own for an invocation."""

    at: float
    who: str
    what: str
    type: Literal["invoke", "ok", "fail", "unknown", "news"]
    call: int
    told: Body


class Call:
    """An invocation that has not ended; endings after the first are ignored, as it may end from several sides."""

    def __init__(self, history: History, record: Record) -> None:
        self._history = history
        self._record = record
        self.outcome: Outcome | None = None

    def ok(self, **told: Any) -> None:
        """It was acknowledged."""
        self._end("ok", told)

    def fail(self, **told: Any) -> None:
        """It was refused and has done nothing."""
        self._end("fail", told)

    def unknown(self, **told: Any) -> None:
        """Nobody can say whether it happened."""
        self._end("unknown", told)

    def _end(self, outcome: Outcome, told: Body) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self._history.ended(self._record, outcome, told)


class History:
    """Grows at its end alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.records: list[Record] = []
        self.outcomes: Counter[str] = Counter()  # invoke, ok, fail, unknown
        self.acked_pings = 0

    def invoke(self, who: str, what: str, **told: Any) -> Call:
        """Somebody asks for something."""
        record = Record(self._now(), who, what, "invoke", len(self.records), told)
        self.records.append(record)
        self.outcomes["invoke"] += 1
        return Call(self, record)

    def news(self, who: str, what: str, **told: Any) -> None:
        """Somebody was told something, or did something that is never acknowledged one by one."""
        self.records.append(Record(self._now(), who, what, "news", -1, told))

    def ended(self, invoked: Record, outcome: Outcome, told: Body) -> None:
        """For Call."""
        self.outcomes[outcome] += 1
        self.records.append(Record(self._now(), invoked.who, invoked.what, outcome, invoked.call, told))

    def write(self, path: Path) -> None:
        """As lines of JSON, one record each."""
        encode = msgspec.json.Encoder().encode
        with path.open("wb") as file:
            file.writelines(encode(record) + b"\n" for record in self.records)

    def _now(self) -> float:
        return self._clock() - self._began


class Pair(msgspec.Struct, frozen=True):
    """A call with its end; a call that never ended is unknown."""

    asked: Record
    end: Record | None

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return "unknown" if self.end is None else self.end.type  # type: ignore[return-value]

    @property
    def told(self) -> Mapping[str, Any]:
        """What the end says."""
        return {} if self.end is None else self.end.told


def pairs(records: list[Record], *what: str) -> Iterator[Pair]:
    """Every call of these kinds with its end, in the order of the calls."""
    ends = {record.call: record for record in records if record.type not in ("invoke", "news")}
    for record in records:
        if record.type == "invoke" and record.what in what:
            yield Pair(record, ends.get(record.call))


def read(path: Path) -> list[Record]:
    """The records of a written history."""
    decode = msgspec.json.Decoder(Record).decode
    return [decode(line) for line in path.read_bytes().splitlines()]
