"""What is under test: processes that can be killed, and networks that can be cut. Compositions have a file each."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from typing import Protocol

from tests.e2e.engine_process import EngineProcess
from tests.simulation.history import Body
from tests.simulation.http import Mint
from tests.simulation.proxy import Proxy

START_S = 120.0


class Member(Protocol):
    """A process, or a server of several, that faults can hit."""

    name: str

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


class Cluster(Protocol):
    """The engine, whatever it consists of. Clients reach it over the proxies alone."""

    @property
    def members(self) -> Mapping[str, Member]: ...
    @property
    def links(self) -> Mapping[str, Proxy]: ...
    @property
    def skew_s(self) -> float:
        """How far its clocks may have been apart so far."""
        ...

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

    def logs(self) -> Sequence[str]:
        """Where its processes write, for whoever has to find out."""
        ...


class EngineMember:
    """A `hexcab serve`."""

    def __init__(self, name: str, process: EngineProcess) -> None:
        self.name = name
        self.process = process

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

    def _signal(self, number: signal.Signals) -> None:
        assert self.process.process is not None
        self.process.process.send_signal(number)
