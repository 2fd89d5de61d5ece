"""What can go wrong, and how it is put right again. A fault is over when `strike` returns."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.simulation.cluster import Cluster, Member
from tests.simulation.proxy import Proxy

SHIFT_S = 5.0  # of a wrong clock: longer than an offer lives


class Fault(NamedTuple):
    """One fault of a schedule; `seconds` of wall time from its beginning to its repair."""

    kind: str
    target: str
    seconds: float

    async def strike(self, cluster: Cluster) -> None:
        """Let it happen, wait, and repair it."""
        if self.kind in _OF_MEMBERS:
            await _OF_MEMBERS[self.kind](cluster.members[self.target], self.seconds)
        elif self.kind in _OF_LINKS:
            link = cluster.links[self.target]
            _OF_LINKS[self.kind](link)
            await asyncio.sleep(self.seconds)
            link.heal()
        elif self.kind == DISTURB:
            await cluster.disturbances()[self.target](self.seconds)
        else:
            assert self.kind == KILL_CHILD
            if (pid := cluster.children().get(self.target)) is not None:
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(self.seconds)


async def _kill(member: Member, seconds: float) -> None:
    member.kill()
    await asyncio.sleep(seconds)
    await member.start()


async def _kill_twice(member: Member, seconds: float) -> None:
    """Again while it starts."""
    member.kill()
    await member.start_for(seconds)
    await member.start()


async def _pause(member: Member, seconds: float) -> None:
    member.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        member.resume()


async def _drain(member: Member, seconds: float) -> None:
    await member.drain()
    await asyncio.sleep(seconds)
    await member.start()


def _clock(shift_s: float) -> Callable[[Member, float], Awaitable[None]]:
    async def wrong(member: Member, seconds: float) -> None:
        member.shift(shift_s)
        await asyncio.sleep(seconds)
        member.shift(0.0)

    return wrong


KILL_CHILD, DISTURB = "kill a child", "deliver"
_OF_MEMBERS: dict[str, Callable[[Member, float], Awaitable[None]]] = {
    "kill": _kill,
    "kill twice": _kill_twice,
    "pause": _pause,
    "drain": _drain,
    "clock ahead": _clock(SHIFT_S),
    "clock behind": _clock(-SHIFT_S),
}
_OF_LINKS: dict[str, Callable[[Proxy], None]] = {
    "cut": Proxy.cut,
    "reset": Proxy.reset,
    "stall up": lambda link: link.stall("up"),
    "stall down": lambda link: link.stall("down"),
    "stall": lambda link: link.stall("up", "down"),
    "delay": lambda link: link.delay(0.7),
    "slow": lambda link: link.slow(400.0),
}
_SECONDS = {  # the shortest and the longest
    "kill": (0.0, 3.0),
    "kill twice": (0.2, 2.5),
    "pause": (1.0, 9.0),
    "drain": (0.0, 2.0),
    "clock ahead": (5.0, 10.0),
    "clock behind": (5.0, 10.0),
    KILL_CHILD: (2.0, 4.0),
    DISTURB: (3.0, 8.0),
    "cut": (1.0, 8.0),
    "reset": (1.0, 1.0),
    "stall up": (2.0, 10.0),
    "stall down": (2.0, 10.0),
    "stall": (2.0, 10.0),
    "delay": (4.0, 8.0),
    "slow": (4.0, 8.0),
}


def possible(cluster: Cluster) -> list[tuple[str, str]]:
    """Every kind and target that this cluster offers."""
    return (
        [(kind, name) for name, member in cluster.members.items() for kind in sorted(member.kinds)]
        + [(kind, name) for kind in _OF_LINKS for name in cluster.links]
        + [(KILL_CHILD, name) for name in cluster.children()]
        + [(DISTURB, name) for name in cluster.disturbances()]
    )


def drawn(kind: str, target: str, rng: random.Random) -> Fault:
    """A fault of this kind, of a random length."""
    return Fault(kind, target, round(rng.uniform(*_SECONDS[kind]), 1))
