"""What is under test: processes that can be killed, and networks that can be cut. Compositions have a file each."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.e2e.engine_process import EngineProcess
from tests.simulation.history import Body
from tests.simulation.http import Mint
from tests.simulation.proxy import Proxy
from tests.simulation.skew import Skew, compiler

START_S = 240.0
ENGINE_KINDS = frozenset({"kill", "kill twice", "pause", "drain"})
CLOCK_KINDS = frozenset({"clock ahead", "clock behind"})

Disturbance = Callable[[float], Awaitable[None]]


class Member(Protocol):
    """A process, or a server of several, that faults can hit."""

    name: str
    kinds: frozenset[str]  # of faults that can hit it

    @property
    def pid(self) -> int: ...

    def kill(self) -> None:
        """SIGKILL; it is gone on return."""
        ...

    async def start(self) -> None:
        """Start it, on the same data and addresses, until it is ready."""
        ...

    async def start_for(self, seconds: float) -> None:
        """Start it and kill it again in the middle of that."""
        ...

    async def drain(self) -> None:
        """SIGTERM, and its end. Raises AssertionError when it does not end well."""
        ...

    def pause(self) -> None:
        """SIGSTOP."""
        ...

    def resume(self) -> None:
        """SIGCONT."""
        ...

    def shift(self, seconds: float) -> None:
        """Its wall's clock is so far ahead from now on, or behind; for those whose kinds say so."""
        ...


class Cluster(Protocol):
    """The engine, whatever it consists of. Clients reach it over the proxies alone."""

    @property
    def members(self) -> Mapping[str, Member]: ...
    @property
    def links(self) -> Mapping[str, Proxy]: ...
    @property
    def api_url(self) -> str: ...
    @property
    def rider_url(self) -> str: ...
    @property
    def driver_url(self) -> str: ...
    @property
    def mint(self) -> Mint: ...

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """End everything. Raises AssertionError when a member does not end well."""
        ...

    def children(self) -> Mapping[str, int]:
        """Processes that members have started and must do without for a while: pids by name."""
        ...

    async def events(self) -> list[Body]:
        """Every event in the order of its commit, with the `state` of its row, read past the engine."""
        ...

    async def delivered(self) -> set[str] | None:
        """Ids of the events that are on the bus, where the bus keeps them; read past the engine."""
        ...

    def disturbances(self) -> Mapping[str, Disturbance]:
        """Whatever else can be done to it for so many seconds, by name."""
        ...

    def logs(self) -> Sequence[Path]:
        """Where its processes write, for whoever has to find out."""
        ...


class EngineMember:
    """A `hexcab serve`. Its clock can be made wrong where there is a C compiler."""

    def __init__(self, name: str, process: EngineProcess, folder: Path) -> None:
        self.name = name
        self.process = process
        self.kinds = ENGINE_KINDS
        if compiler() is not None:
            self._skew = Skew(folder, name)
            process.environment |= self._skew.environment()
            self.kinds |= CLOCK_KINDS

    @property
    def pid(self) -> int:
        assert self.process.process is not None
        return self.process.process.pid

    def kill(self) -> None:
        self.process.kill()

    async def start(self) -> None:
        await self.process.start(START_S)

    async def start_for(self, seconds: float) -> None:
        self.process.process = self.process.spawn()
        await asyncio.sleep(seconds)
        self.process.kill()

    async def drain(self) -> None:
        code = await self.process.stop()
        assert code == 0, f"{self.name} ended with {code} after SIGTERM:\n{self.process.last_words()}"

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def shift(self, seconds: float) -> None:
        self._skew.set(seconds)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process.process is not None
        self.process.process.send_signal(number)
