"""A cluster as `hexcab serve --role` makes one: a process for each host, on real servers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from runtime.auth import Scope, Tokens
from tests.e2e.apps import Outside
from tests.e2e.engine_process import EngineProcess, free_port

Tables = dict[str, dict[str, Any]]


def host(folder: Path, role: str, settings: Tables) -> EngineProcess:
    """One host. It is ready when its internal server says so."""
    port = free_port()
    cluster = {**settings["cluster"], "host_port": port}
    ready = f"http://127.0.0.1:{port}/readyz"
    return EngineProcess(folder, settings={**settings, "cluster": cluster}, role=role, ready=ready)


class Cluster:
    """Hosts of each role by name, such as gateway1. Clients reach the first edge and any gateway."""

    def __init__(self, folder: Path, engines: Tables, roles: dict[str, int]) -> None:
        folder.mkdir()
        self.key = folder / "key"
        self.key.write_bytes(secrets.token_bytes(32))
        settings = {**engines, "cluster": {"key_file": str(self.key), "leave_s": 0.2}}
        self.hosts = {
            f"{role}{number}": host(folder / f"{role}{number}", role, settings)
            for role, count in roles.items()
            for number in range(1, count + 1)
        }

    async def start(self) -> None:
        """The first host makes the tables; the others come beside each other."""
        first, *others = self.hosts.values()
        await first.start(120)
        await asyncio.gather(*(host.start(120) for host in others))

    async def stop(self, names: Iterable[str] | None = None) -> dict[str, int]:
        """End these hosts in good order, or all that run; their exit codes."""
        chosen = [name for name in names or self.hosts if self.hosts[name].process is not None]
        codes = await asyncio.gather(*(self.hosts[name].stop() for name in chosen))
        for name in chosen:
            self.hosts[name].process = None
        return dict(zip(chosen, codes, strict=True))

    def by(self, gateway: str) -> Outside:
        """The cluster as an app sees it whose driver was sent to this gateway."""
        edge = self.hosts["edge1"]
        seen = EngineProcess(edge.data_dir, port=edge.port, gateway_port=self.hosts[gateway].gateway_port)
        return _Outside(seen, key=self.key.read_bytes())


@dataclass
class _Outside(Outside):
    key: bytes = b""

    def token(self, scope: str, subject: str) -> str:
        return Tokens(self.key).sign(cast(Scope, scope), subject, 3600)
