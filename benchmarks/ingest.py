"""Pings in: how many a core takes through the gateway, beside a C floor and a plain FastAPI handler.

Every program gets the same frames in the same waves (see native/client.c): one ping per driver and wave, DEPTH waves,
then one cumulative ack per driver. Cost is CPU seconds of the server per ping; a ratio is taken round by round, and of
these the median.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import (
    Ask,
    Result,
    Rounds,
    fail,
    growth_exponent,
    interleaved,
    machine,
    rounded,
    today,
    versions,
)
from benchmarks.processes import CLIENT_CORE, SERVER_CORE, Child, children, compiled, needs_two_cores, python
from runtime.auth import Tokens

DRIVERS = 2_000
DEPTH = 10  # pings per driver between acks: well within the second that an ack may take, and within the flood guard
ROUND_S = 1.0
WARM_TURNS = 6  # until the gateway knows nearly every cell of the box, as one that runs for a while does
ACK_MS = 900  # of the floor: the gateway owes an ack 0.9 s after the first ping it covers
FASTAPI_ACK_MS = 3_500  # of the peer, slower with its waves: so it, too, sends one ack per DEPTH pings
BOX = ("57.66", "11.85", "57.76", "12.05")  # south, west, north, east
PATH = "/v1/driver/ws"
DAY_MS = 86_400_000
GROWTH = (500, 2_000, 8_000)
SATURATED = 0.95


@dataclass(frozen=True)
class Lane:
    """A server under load, and its client."""

    name: str
    server: Child
    client: Child
    drivers: int

    def go(self, seconds: float = ROUND_S) -> dict[str, Any]:
        """One turn. Fails when the server refused something."""
        self.client.write(f"go {seconds} {DEPTH}\n")
        took = self.client.answer()
        if took["errors"]:
            fail(f"{self.name} answered {took['errors']} pings with errors")
        return took

    def finish(self) -> dict[str, Any]:
        """The server's counters at its end."""
        self.client.end()
        self.server.ask_to_end()
        return self.server.answer()


class Lanes:
    """Starts servers and clients that end with the benchmark."""

    def __init__(self, running: list[Child]) -> None:
        self._running = running
        self._key = secrets.token_bytes(32)
        self._tokens = Tokens(self._key)

    def gateway(self, name: str, codec: str, drivers: int = DRIVERS, trail: Path | None = None) -> Lane:
        """Our gateway."""
        argv = python("benchmarks.servers.gateway", self._key.hex(), *BOX, *([str(trail)] if trail else []))
        return self._lane(name, argv, codec, drivers)

    def floor(self, name: str, codec: str) -> Lane:
        """The C floor."""
        return self._lane(name, [str(compiled("floor")), codec, str(ACK_MS)], codec, DRIVERS)

    def fastapi(self, name: str) -> Lane:
        """The plain FastAPI handler."""
        return self._lane(name, python("benchmarks.peers.plain_fastapi", str(FASTAPI_ACK_MS)), "json", DRIVERS)

    def _lane(self, name: str, argv: list[str], codec: str, drivers: int) -> Lane:
        server = Child(argv, SERVER_CORE)
        self._running.append(server)
        port = server.line().removeprefix("port ")
        first_ts = str(int(time.time() * 1000) - DAY_MS)
        client = Child([str(compiled("client")), port, PATH, codec, str(server.pid), first_ts, *BOX], CLIENT_CORE)
        self._running.append(client)
        tokens = [self._tokens.sign("driver", f"drv_{number:06d}", 86_400) for number in range(drivers)]
        client.write("\n".join(tokens) + "\n\n")
        if client.line() != f"ready {drivers}":
            fail(f"{name} did not take all drivers")
        return Lane(name, server, client, drivers)


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    needs_two_cores()
    before = machine()
    rounds = Rounds()
    with children() as running, tempfile.TemporaryDirectory() as folder:
        lanes = Lanes(running)
        trail = Path(folder) / "trail.db"
        turns = [
            lanes.floor("floor_json", "json"),
            lanes.gateway("gateway_json", "json"),
            lanes.floor("floor_msgpack", "msgpack"),
            lanes.gateway("gateway_msgpack", "msgpack"),
            lanes.fastapi("fastapi"),
            *([] if ask.quick else [lanes.gateway("gateway_json_logging", "json", trail=trail)]),
        ]
        sent = _rounds(ask, turns, rounds)
        checked = _check(turns, sent)
    for lane in turns:
        rounds.samples[f"{lane.name}_pings_per_cpu_s"] = rounds.samples[lane.name]
    ratios = {
        "share_of_floor_json": rounds.add_ratio("share_of_floor_json", "gateway_json", "floor_json"),
        "share_of_floor_msgpack": rounds.add_ratio("share_of_floor_msgpack", "gateway_msgpack", "floor_msgpack"),
        "vs_fastapi": rounds.add_ratio("vs_fastapi", "gateway_json", "fastapi"),
    }
    for lane in turns:
        del rounds.samples[lane.name]
    figures = {name: value for name, value in rounds.medians().items() if name not in ratios}
    if not ask.quick:
        figures["growth_exponent"] = rounded(_growth(ask))
    return Result(
        name="ingest",
        figures=figures,
        ratios=ratios,
        spread=rounds.spreads(),
        checked=checked,
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=_notes(figures),
    )


def _rounds(ask: Ask, turns: list[Lane], rounds: Rounds) -> dict[str, int]:
    """Interleaved turns, after some that are thrown away. Returns the pings sent to each lane."""
    sent = {lane.name: sum(int(lane.go()["pings"]) for _ in range(WARM_TURNS)) for lane in turns}
    for lane in interleaved(turns, ask.rounds):
        took = lane.go()
        sent[lane.name] += int(took["pings"])
        rounds.add(lane.name, took["pings_per_cpu_s"])
        rounds.add(f"{lane.name}_utilisation", took["utilisation"])
        rounds.add(f"{lane.name}_pings_per_ack", took["pings"] / took["acks"])
        rounds.add("client_cpu_us_per_ping", took["client_cpu_us_per_ping"])
        ask.say(
            f"{lane.name:22} {took['pings_per_cpu_s']:>9,.0f} pings per CPU s, "
            f"utilisation {took['utilisation']:.3f} (with waiting for the core {took['demand']:.3f})"
        )
    return sent


def _check(turns: list[Lane], sent: dict[str, int]) -> int:
    """Counters of every server against what was sent; returns how many answers were checked."""
    checked = 0
    for lane in turns:
        counted, pings = lane.finish(), sent[lane.name]
        if "frames" in counted:
            if counted["frames"] != pings or counted["reads"] != pings + lane.drivers:
                fail(f"{lane.name}: {pings} pings sent one by one, but {counted['frames']} in {counted['reads']} reads")
        elif lane.name == "fastapi":
            if counted["accepted"] != pings:
                fail(f"fastapi: {pings} pings sent, {counted['accepted']} accepted")
        else:
            if counted["pings_accepted"] < 0.99 * pings:
                fail(
                    f"{lane.name}: {pings} pings sent, {counted['pings_accepted']} accepted: {counted['pings_dropped']}"
                )
            if counted["drivers"] != lane.drivers or counted["wrong_segments"]:
                fail(f"{lane.name}: {counted['wrong_segments']} of {counted['drivers']} drivers in a wrong segment")
            checked += lane.drivers
        checked += pings
    return checked


def _growth(ask: Ask) -> float:
    """The exponent of CPU seconds per ping against the number of drivers: 0 when a ping costs the same in any crowd."""
    costs = Rounds()
    with children() as running:
        lanes = Lanes(running)
        turns = [lanes.gateway(f"gateway_{drivers}", "json", drivers) for drivers in GROWTH]
        for lane in turns:
            for _ in range(WARM_TURNS):
                lane.go()
        for lane in interleaved(turns, 5):
            costs.add(lane.name, 1 / lane.go()["pings_per_cpu_s"])
    medians = [costs.median(lane.name) for lane in turns]
    for drivers, cost in zip(GROWTH, medians, strict=True):
        ask.say(f"{drivers:6} drivers: {cost * 1e6:.2f} CPU us per ping")
    return growth_exponent(GROWTH, medians)


def _notes(figures: dict[str, float]) -> list[str]:
    notes = [
        f"{DRIVERS:,} drivers, one frame per receive, one ack per {DEPTH} pings from every server, supply in memory.",
        "The gateway checks tokens at the handshake and every ping (time, order, rate, area, speed); idle pings are "
        "not logged, except in gateway_json_logging, which keeps them in SQLite as the embedded engine does.",
        "The server is held while a wave is sent and works it off alone, so the client cannot be the bottleneck.",
    ]
    low = [name for name, value in figures.items() if name.endswith("_utilisation") and value < SATURATED]
    shared = f"Other programs took more than a twentieth of the server's core: {', '.join(low)}."
    return [*notes, *([shared] if low else [])]
