"""The child process that runs Valhalla: python -m maps.route_worker CONFIG SPEEDS SETTINGS_JSON.

SPEEDS is the traffic archive with the speeds in force, "" where there is none.

Questions and answers are frames on stdin and stdout: four bytes of length, little-endian, then JSON. Valhalla runs here
because its memory grows under load and a crash of its native code must not take the engine along. The process ends when
its stdin closes, even while it is working, and (on Linux) when its parent dies while it is stopped.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from maps.matching import (
    Isochrone,
    IsochroneAsk,
    MatchAsk,
    Matched,
    Route,
    RouteAsk,
    TraceAsk,
    Traced,
    isochrone_question,
    match_question,
    read_isochrone,
    read_match,
    read_route,
    read_trace,
    route_question,
    trace_question,
)
from runtime.clocks import SystemClock
from runtime.settings import MapSettings

LENGTH_BYTES = 4
Ask = MatchAsk | RouteAsk | TraceAsk | IsochroneAsk
_PR_SET_PDEATHSIG = 1


class Question(msgspec.Struct, frozen=True):
    """One question to the worker."""

    ask: Ask


class Answer(msgspec.Struct, frozen=True):
    """The worker's answer, and how much memory it holds now; `refused` says why there is no result.

    The first answer of a worker, without a result, says that it is ready.
    """

    result: Matched | Route | Traced | Isochrone | None = None
    refused: str | None = None
    rss_mb: float = 0.0


def frame(message: msgspec.Struct) -> bytes:
    """A message as it goes over the pipe."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "little") + body


def resolved_config(path: Path, speeds: str = "") -> dict[str, Any]:
    """A pack's Valhalla configuration with its archive of tiles found beside it, and that of live speeds if any."""
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    config["mjolnir"]["tile_extract"] = str(path.parent.resolve() / config["mjolnir"]["tile_extract"])
    if speeds:
        config["mjolnir"]["traffic_extract"] = speeds
    return config


def main() -> None:
    """Answer questions until stdin closes."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it could be watched
            return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever native code prints must not get between the frames
    actor = _actor(Path(sys.argv[1]), sys.argv[2])
    settings = msgspec.json.decode(sys.argv[3], type=MapSettings)
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin.buffer, questions), daemon=True).start()
    _say(out, Answer(rss_mb=_rss_mb()))
    while True:
        question = msgspec.json.decode(questions.get(), type=Question)
        _say(out, _answer(actor, question.ask, settings))


def _actor(config: Path, speeds: str) -> Any:
    import valhalla

    # the binding copies a dict to a temporary file that nobody removes, so the file is ours
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(resolved_config(config, speeds), file)
        file.flush()
        return valhalla.Actor(Path(file.name))


def _read(stdin: BinaryIO, questions: queue.SimpleQueue[bytes]) -> None:
    while len(length := stdin.read(LENGTH_BYTES)) == LENGTH_BYTES:
        questions.put(stdin.read(int.from_bytes(length, "little")))
    os._exit(0)  # the parent is gone or done with us; native code may still be running


def _answer(actor: Any, ask: Ask, settings: MapSettings) -> Answer:
    from valhalla import ValhallaError

    result: Matched | Route | Traced | Isochrone
    now = SystemClock().now()
    try:
        if isinstance(ask, MatchAsk):
            answer = json.loads(actor.trace_route(json.dumps(match_question(ask, settings))))
            result = read_match(answer, len(ask.lat), settings)
        elif isinstance(ask, TraceAsk):
            result = read_trace(json.loads(actor.trace_attributes(json.dumps(trace_question(ask, settings)))))
        elif isinstance(ask, IsochroneAsk):
            result = read_isochrone(json.loads(actor.isochrone(json.dumps(isochrone_question(ask, now)))))
        else:
            result = read_route(json.loads(actor.route(json.dumps(route_question(ask, now)))))
    except ValhallaError as error:
        if not isinstance(ask, MatchAsk):
            return Answer(refused=str(error), rss_mb=_rss_mb())
        result = Matched([])
    return Answer(result=result, rss_mb=_rss_mb())


def _say(out: BinaryIO, answer: Answer) -> None:
    out.write(frame(answer))
    out.flush()


def _rss_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:  # not Linux: never recycled for its size
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
