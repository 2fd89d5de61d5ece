"""A whole cluster: processes of every role on real servers, HAProxy in front, and a network on each side of them."""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import psutil
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from runtime.auth import Scope, Tokens
from runtime.services.haproxy import Behind, Haproxy
from runtime.sqlengine import parse_url
from tests.e2e.engine_process import EngineProcess, free_port
from tests.simulation.cluster import Disturbance, EngineMember, Member, children_of
from tests.simulation.embedded import SETTINGS
from tests.simulation.history import Body
from tests.simulation.http import Mint
from tests.simulation.proxy import Proxy
from tests.simulation.servers import Stores
from tests.simulation.topic import deliver_again, event_ids

ROLES = ("edge", "gateway", "dispatch", "trips", "archiver")
_TOKEN_S = 86_400.0


class ProxyMember:
    """HAProxy."""

    name = "haproxy"
    kinds = frozenset({"kill"})

    def __init__(self, haproxy: Haproxy) -> None:
        self._haproxy = haproxy

    @property
    def pid(self) -> int:
        return self._haproxy.pid

    def kill(self) -> None:
        family = psutil.Process(self.pid)
        for process in (family, *family.children(recursive=True)):
            os.kill(process.pid, signal.SIGKILL)

    async def start(self) -> None:
        await asyncio.to_thread(self._haproxy.start)

    async def start_for(self, seconds: float) -> None:
        raise NotImplementedError

    async def drain(self) -> None:
        await asyncio.to_thread(self._haproxy.stop)

    def pause(self) -> None:
        raise NotImplementedError

    def resume(self) -> None:
        raise NotImplementedError

    def shift(self, seconds: float) -> None:
        raise NotImplementedError


class Clustered:
    """`hosts` of each role. Clients come over one network for riders and one for drivers, both to HAProxy."""

    def __init__(
        self,
        folder: Path,
        stores: Stores,
        home: Path | None = None,
        *,
        hosts: int = 2,
        settings: Mapping[str, Mapping[str, Any]] = SETTINGS,
    ) -> None:
        self._folder = folder
        folder.chmod(0o711)  # HAProxy's user passes through and sees nothing
        self._stores = stores
        self._home = home
        self._settings = settings
        self._key = folder / "key"
        self._key.write_bytes(secrets.token_bytes(32))
        self._inner = stores.links()
        self._hosts: dict[str, EngineMember] = {}
        self._counts = dict.fromkeys(ROLES, hosts)
        self._haproxy: ProxyMember | None = None
        self._outer: dict[str, Proxy] = {}

    @property
    def members(self) -> Mapping[str, Member]:
        haproxy = {} if self._haproxy is None else {"haproxy": self._haproxy}
        return {**self._hosts, **haproxy, **self._stores.members}

    @property
    def links(self) -> Mapping[str, Proxy]:
        return {**self._outer, **self._inner}

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._outer['riders'].port}"

    @property
    def rider_url(self) -> str:
        return f"ws://127.0.0.1:{self._outer['riders'].port}/v1/rider/ws"

    @property
    def driver_url(self) -> str:
        return f"ws://127.0.0.1:{self._outer['drivers'].port}/v1/driver/ws"

    @property
    def mint(self) -> Mint:
        tokens = Tokens(self._key.read_bytes())
        return lambda scope, subject: tokens.sign(cast(Scope, scope), subject, _TOKEN_S)

    async def start(self) -> None:
        for link in self._inner.values():
            await link.start()
        for role, count in self._counts.items():
            for number in range(1, count + 1):
                self._hosts[f"{role}{number}"] = self._host(role, f"{role}{number}")
        first, *others = self._hosts.values()
        await first.start()  # makes the tables
        await asyncio.gather(*(host.start() for host in others))
        haproxy = Haproxy(self._folder / "haproxy", self._behind("edge"), self._behind("gateway"))
        self._haproxy = ProxyMember(haproxy)
        await self._haproxy.start()
        host, _, port = haproxy.address.rpartition(":")
        for name in ("riders", "drivers"):
            self._outer[name] = Proxy(host, int(port))
            await self._outer[name].start()

    async def stop(self) -> None:
        for link in self._outer.values():
            await link.close()
        if self._haproxy is not None:
            await self._haproxy.drain()
        alive = [host for host in self._hosts.values() if host.process.process is not None]
        ends = await asyncio.gather(*(host.drain() for host in alive), return_exceptions=True)
        for link in self._inner.values():
            await link.close()
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    def children(self) -> Mapping[str, int]:
        return {
            f"route worker of {host.name}": pid
            for host in self._hosts.values()
            for words, pid in children_of(host.pid)
            if "route_worker" in words
        }

    async def events(self) -> list[Body]:
        engine = create_async_engine(parse_url(self._stores.sql_url))
        try:
            async with engine.connect() as connection:
                rows = (await connection.execute(sa.text("SELECT body, state FROM outbox ORDER BY seq"))).all()
        finally:
            await engine.dispose()
        return [{**json.loads(body), "state": state} for body, state in rows]

    async def delivered(self) -> set[str] | None:
        return await event_ids(self._stores.kafka_brokers, self._topic)

    def disturbances(self) -> Mapping[str, Disturbance]:
        async def deliver(seconds: float) -> None:
            await deliver_again(self._stores.kafka_brokers, self._topic, random.Random(seconds), seconds)

        return {"events again": deliver}

    @property
    def _topic(self) -> str:
        return f"{self._stores.kafka_prefix}rides"

    def logs(self) -> Sequence[Path]:
        return [host.process.log for host in self._hosts.values()]

    def _host(self, role: str, name: str) -> EngineMember:
        internal = free_port()
        sections: dict[str, dict[str, Any]] = {key: dict(values) for key, values in self._settings.items()}
        for section, values in self._stores.settings(self._inner).items():
            sections[section] = {**sections.get(section, {}), **values}
        sections["cluster"] = {"host_port": internal, "key_file": str(self._key)}
        process = EngineProcess(
            self._folder / name,
            settings=sections,
            home=self._home,
            role=role,
            ready=f"http://127.0.0.1:{internal}/readyz",
        )
        return EngineMember(name, process, self._folder)

    def _behind(self, role: str) -> list[Behind]:
        found = []
        for name, host in self._hosts.items():
            if host.process.role == role:
                port = host.process.port if role == "edge" else host.process.gateway_port
                internal = host.process.ready.removeprefix("http://").removesuffix("/readyz")
                found.append(Behind(name, f"127.0.0.1:{port}", internal))
        return found
