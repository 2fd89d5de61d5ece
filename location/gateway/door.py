"""The door: who may come in is judged at the upgrade request; a ticket is used up before its bearer counts as here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from core.errors import HexcabError, Unavailable
from location.gateway.codes import INTERNAL, POLICY, TRY_LATER
from location.gateway.connection import Connection
from location.gateway.counts import Traffic
from location.gateway.handshake import admit, refusal
from location.gateway.hub import Hub
from location.gateway.parts import GatewayParts

_log = logging.getLogger(__name__)


class Door:
    """Lets drivers in. `crowd` says how many are in already."""

    def __init__(self, parts: GatewayParts, hub: Hub[Connection], traffic: Traffic, crowd: Callable[[], int]) -> None:
        self._parts = parts
        self._hub = hub
        self._traffic = traffic
        self._crowd = crowd
        self._waiting: set[asyncio.Task[None]] = set()
        self.shut = False

    def judge(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener | WSListener:
        """The answer to an upgrade request: a connection, or why not. The protocol's server waits for nothing here."""
        parts = self._parts
        try:
            if self.shut:
                raise Unavailable("the server restarts; connect again")
            if self._crowd() + len(self._waiting) >= parts.settings.max_connections:
                raise Unavailable("this server has as many drivers as it may", retry_after_s=30)
            admitted = admit(request, parts.authorize)
        except HexcabError as error:
            self._traffic.refused_handshakes += 1
            return refusal(error)
        connection = Connection(admitted.driver_id, admitted.codec, self._hub, parts.settings, self._traffic)
        if parts.use_ticket is not None:
            connection.ticket = admitted.ticket
        chosen = {"Sec-WebSocket-Protocol": admitted.chosen} if admitted.chosen else None
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), connection)

    def use_ticket(self, connection: Connection) -> None:
        """Let a connection in once its ticket is used up; close it where that was done before or cannot be done."""
        task = asyncio.get_running_loop().create_task(self._use_ticket(connection))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def close(self) -> None:
        """Whoever still waits is let go."""
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def _use_ticket(self, connection: Connection) -> None:
        use, ticket = self._parts.use_ticket, connection.ticket
        assert use is not None
        assert ticket is not None
        try:
            await use(ticket)
            if self.shut:
                raise Unavailable("the server restarts; connect again")
        except HexcabError as error:
            connection.close(TRY_LATER if isinstance(error, Unavailable) else POLICY, error.detail)
        except BaseException:
            connection.close(INTERNAL)
            raise
        else:
            if not connection.closing:
                connection.come_in()
