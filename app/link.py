"""The link of a host to the others of its cluster: its internal server, presence, and the way there."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass

from app.wiring.elsewhere import OtherHosts
from core.errors import Unavailable
from core.ids import Ids
from runtime.auth import Tokens
from runtime.host_calls import HostCalls
from runtime.hosts import HostServer
from runtime.presence import Host, Presence
from runtime.probes import Check
from runtime.redis import Client
from runtime.redis_presence import RedisPresence
from runtime.roll import Deaf, Roll
from runtime.router import Router
from runtime.settings import ClusterSettings
from runtime.tasks import Tasks, repeat
from runtime.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class Link:
    """What a host has to do with the others. Nothing runs before `start`."""

    host: Host
    server: HostServer
    presence: Presence
    calls: HostCalls
    elsewhere: OtherHosts
    roll: Roll
    leaving: Leaving

    def start(self, tasks: Tasks, beat_s: float, closing: contextlib.AsyncExitStack) -> None:
        """Answer the others, and tell them who hangs here, until `closing` says goodbye."""
        tasks.watch(self.server.start())
        own = [
            asyncio.create_task(self.roll.run(), name="the roll"),
            asyncio.create_task(repeat(self.roll.beat, beat_s, asyncio.sleep), name="the signs of life"),
        ]
        for task in own:
            tasks.watch(task)

        async def goodbye() -> None:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
            await self.roll.close()

        closing.push_async_callback(goodbye)


class Leaving:
    """The check of a host that is asked to stop: not ready, so that proxies send nobody new."""

    def __init__(self) -> None:
        self.begun = False

    async def __call__(self) -> None:
        if self.begun:
            raise Unavailable("this host is stopping")


@dataclass(frozen=True, slots=True)
class Joining:
    """What a host joins its cluster with."""

    client: Client
    tokens: Tokens
    ids: Ids
    metrics: Metrics
    settings: ClusterSettings


def join(joining: Joining, checks: Mapping[str, Check], closing: contextlib.AsyncExitStack) -> Link:
    """Open the internal port and know the others. Raises Unavailable when the port cannot be opened."""
    settings, token = joining.settings, joining.tokens.derived_key("hosts").hex()
    leaving = Leaving()
    server = HostServer(settings, token, {**checks, "leaving": leaving}, joining.metrics.registry)
    closing.push_async_callback(server.close)
    calls = HostCalls(token, settings)
    closing.push_async_callback(calls.close)
    presence = RedisPresence(joining.client, settings.presence_keep_s)
    host = Host(joining.ids.new("host"), server.address)
    router = Router(host, presence, calls, settings)
    roll = Roll(presence, host, router.lost, settings, random.Random())
    roll.listen("rider", Deaf())
    return Link(host, server, presence, calls, OtherHosts(router), roll, leaving)
