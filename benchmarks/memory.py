"""Memory: bytes of the server's process for each connected driver who does nothing, beside a bare picows echo.

Every server gets the same two crowds, one after the other; the bytes of a connection are what its resident memory
grows by between them. Each round has servers of its own, as memory that was once used does not go back.
"""

from __future__ import annotations

import secrets
import time

from benchmarks.harness import Ask, Result, Rounds, fail, machine, today, versions
from benchmarks.ingest import BOX, PATH
from benchmarks.lives import resident_mb
from benchmarks.processes import CLIENT_CORE, SERVER_CORE, Child, children, compiled, needs_two_cores, python
from runtime.auth import Tokens

FIRST, MORE = 6_000, 6_000  # the first crowd fills what the start of a program has left free
SETTLE_S = 3.0
ROUNDS = 5


def run(ask: Ask) -> Result:
    """Measure; see the module."""
    needs_two_cores()
    before = machine()
    rounds = Rounds()
    for _ in range(2 if ask.quick else ROUNDS):
        key = secrets.token_bytes(32)
        servers = {
            "picows": python("benchmarks.peers.bare_picows"),
            "gateway": python("benchmarks.servers.gateway", key.hex(), *BOX),
        }
        for name, argv in servers.items():
            rounds.add(f"{name}_bytes_per_connection", _bytes_each(argv, Tokens(key)))
            ask.say(f"{name:10} {rounds.samples[f'{name}_bytes_per_connection'][-1]:,.0f} bytes per connection")
    ratio = rounds.add_ratio("vs_picows", "gateway_bytes_per_connection", "picows_bytes_per_connection")
    return Result(
        name="memory",
        figures={name: value for name, value in rounds.medians().items() if name != "vs_picows"},
        ratios={"vs_picows": ratio},
        spread=rounds.spreads(),
        checked=len(rounds.samples["vs_picows"]) * 2 * (FIRST + MORE),
        machine=before,
        versions=versions(),
        date=today(),
        quick=ask.quick,
        notes=[
            f"Resident memory with {FIRST + MORE:,} connections over that with {FIRST:,}; the system's own buffers of "
            "sockets are not in it, and are the same for both. What the start of the gateway has left free in its heap "
            "takes up some of its own objects, about a kilobyte a driver.",
            "Each driver of the gateway has sent a status and has had the welcome; vs_picows is how many times as much "
            "the gateway needs, so less is better.",
        ],
    )


def _bytes_each(argv: list[str], tokens: Tokens) -> float:
    with children() as running:
        server = Child(argv, SERVER_CORE)
        running.append(server)
        port = server.line().removeprefix("port ")
        sizes = []
        for first, count in ((0, FIRST), (FIRST, MORE)):
            client = Child([str(compiled("client")), port, PATH, "json", str(server.pid), "1", *BOX], CLIENT_CORE)
            running.append(client)
            drivers = [tokens.sign("driver", f"drv_{number:06d}", 86_400) for number in range(first, first + count)]
            client.write("\n".join(drivers) + "\n\n")
            if client.line() != f"ready {count}":
                fail("the server did not take all drivers")
            time.sleep(SETTLE_S)
            sizes.append(resident_mb(server.pid) * 1e6)
    return (sizes[1] - sizes[0]) / MORE
