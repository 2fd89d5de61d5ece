"""The gateway: every driver's socket of this host."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from picows import ws_create_server

from core.errors import Unavailable
from location.gateway.acks import Acks
from location.gateway.codes import REPLACED, RESTART, TRY_LATER
from location.gateway.commands import Commands
from location.gateway.connection import Connection
from location.gateway.counts import Counts, Traffic
from location.gateway.door import Door
from location.gateway.greeting import Greeter
from location.gateway.handshake import SocketLog
from location.gateway.intake import Intake
from location.gateway.lane import Lane
from location.gateway.lanes import Lanes
from location.gateway.parts import GatewayParts
from location.gateway.silence import Silence
from location.live import Driver
from location.messages import Command, Ping, Pings
from location.pings import PingPath
from location.presence import HostPresence, OneHost
from location.queues import QueueKeeper
from location.trail import TrailWriter

_log = logging.getLogger(__name__)

_ROOM_FOR_OVERSIZE = 4  # frames of up to so many times the limit are read, so that the client hears why it is closed
_UPKEEP_S = 1.0
_SPARE_JOBS = 16  # connects and disconnects have room in a driver's lane when commands have filled it


class Gateway:
    """Serves driver sockets on a host and port (0: any free one). Make it inside the running event loop."""

    def __init__(self, parts: GatewayParts, host: str, port: int) -> None:
        self._parts = parts
        self._address = (host, port)
        self._settings = settings = parts.settings
        self._clock = parts.clock
        self._supply = parts.supply
        self._live = parts.supply.live
        self._writer = TrailWriter(parts.trail, self._live, settings, self._durable)
        self._queues = QueueKeeper(parts.queues, self._live, parts.clock, settings, self.deliver)
        seen = self._queues.watch
        self._path = PingPath(
            self._live, self._writer, parts.segment_of, settings, inside=parts.inside, cells=parts.cells, seen=seen
        )
        self._traffic = Traffic()
        self._presence: HostPresence[Connection] = HostPresence()
        self._acks = Acks(parts.clock, settings, self._live, self._traffic, self._presence.get)
        self._silence = Silence(self._live, self._presence, settings.idle_timeout_s)
        self._lanes = Lanes(settings.max_commands)
        self._commands = Commands(parts.desk, parts.supply, self._writer)
        self._roll = parts.roll or OneHost(parts.clock)
        self._greeter = Greeter(
            parts.desk, self._roll, parts.trail, parts.supply, self._path, self._acks, parts.clock, settings
        )
        self._intake = Intake(self._path, self._acks, self._greeter, parts.clock, self._live, self._presence.get)
        self._lane = Lane(self._live, self._intake.batch)
        self._door = Door(parts, self, self._traffic, lambda: len(self._presence))
        self._roll.listen(self)
        self._everyone_left = asyncio.Event()
        self._draining = False
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """The port that is served."""
        sockets = self._server.sockets if self._server else ()
        return int(sockets[0].getsockname()[1]) if sockets else self._address[1]

    async def start(self) -> None:
        """Open the port and serve. Raises Unavailable naming a port that cannot be opened."""
        host, port = self._address
        self._path.prepare()
        self._acks.prepare()
        self._lane.open()
        try:
            self._server = await ws_create_server(
                self._door.judge,
                host,
                port,
                logger_name=SocketLog(_log, {}),
                enable_auto_pong=False,  # a ping frame shows life too, so it must reach the connection
                max_frame_size=_ROOM_FOR_OVERSIZE * self._settings.max_frame_bytes,
                read_buffer_init_size=4096,
                backlog=4096,
            )
        except OSError as error:
            self._lane.close()
            reason = os.strerror(error.errno) if error.errno else str(error)  # asyncio's own words hide the port
            raise Unavailable(f"port {port} on {host} cannot be opened: {reason}", code="port_unavailable") from error
        settings, wall, engine = self._settings, asyncio.sleep, self._clock.sleep
        steps = (
            (self._send_acks, settings.tick_s, wall),
            (self._flush_supply, settings.tick_s, wall),
            (self._flush_trail, settings.tick_s, wall),
            (self._silence.look, min(_UPKEEP_S, settings.idle_timeout_s / 6), wall),
            (self._supply.expire, settings.expire_every_s, engine),
            (self._purge, settings.purge_every_s, engine),
            (self._queues.flush, settings.queue_tick_s, wall),
        )
        self._tasks = [asyncio.create_task(self._repeat(*each)) for each in steps]

    async def drain(self) -> None:
        """Stop accepting, make durable and acknowledge what has come, and close every connection with 1012."""
        self._draining = self._door.shut = True
        if self._server is not None:
            self._server.close()
        await self._writer.flush()
        await self._door.close()
        for connection in self._presence:
            self._acks.send(connection)
            connection.close(RESTART, "the server restarts; connect again")
        try:
            async with asyncio.timeout(self._settings.close_grace_s):
                while len(self._presence):
                    self._everyone_left.clear()
                    await self._everyone_left.wait()
        except TimeoutError:
            for connection in self._presence:
                connection.cut()

    async def close(self) -> None:
        """Drain, finish what drivers have asked for, and end."""
        await self.drain()
        self._lane.close()
        await self._lanes.close(self._settings.close_grace_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._writer.flush()
        await self._supply.flush()

    def deliver(self, driver_id: str, message: dict[str, Any]) -> bool:
        """Send a contract message to a driver; False when they are not connected here or do not take more."""
        connection = self._presence.get(driver_id)
        return connection is not None and connection.send(message)

    def connected(self, driver_id: str) -> bool:
        """True while the driver has a connection here that can be sent to."""
        connection = self._presence.get(driver_id)
        return connection is not None and not connection.closing

    def counts(self) -> Counts:
        """What has happened so far, for the metrics."""
        traffic, silent_since = self._traffic, self._clock.now() - self._settings.fresh_s
        return Counts(
            connections=len(self._presence),
            stale=sum(each.driver.online and each.driver.seen_at < silent_since for each in self._presence),
            pings_accepted=self._path.accepted,
            pings_dropped=dict(self._path.dropped),
            pings_waiting=len(self._writer),
            pings_logged=self._writer.appended,
            idle_pings_lost=self._writer.idle_dropped,
            trip_pings_refused=self._writer.refused,
            trail_away=self._writer.away,
            frames_in=traffic.frames_in + self._lane.frames,
            bytes_in=traffic.bytes_in + self._lane.bytes,
            frames_out=traffic.frames_out,
            bytes_out=traffic.bytes_out,
            bad_messages=traffic.bad_messages,
            refused_handshakes=traffic.refused_handshakes,
            closed=dict(traffic.closed),
        )

    def opened(self, connection: Connection) -> None:
        """A driver's socket is open; it takes the place of an older one, and the driver's state goes on."""
        if connection.ticket is not None:
            self._door.use_ticket(connection)
            return
        driver_id = connection.driver_id
        connection.driver = self._live.driver(driver_id)
        connection.driver.told_skew = False
        replaced = self._presence.arrive(driver_id, connection)
        if replaced is not None:
            replaced.close(REPLACED, "another connection of this driver took over")
        else:
            self._live.set_connected(driver_id, True)
        self._live.own(driver_id, 0)
        self._roll.join(driver_id)
        if not self._lanes.submit(driver_id, lambda: self._greeter.greet(connection), spare=_SPARE_JOBS):
            connection.close(TRY_LATER, "earlier commands of this driver are still being followed")

    def closed(self, connection: Connection) -> None:
        """A driver's socket is gone: an idle driver cannot be offered work any more."""
        if not self._presence.leave(driver_id := connection.driver_id, connection):
            return
        self._live.set_connected(driver_id, False)
        self._roll.leave(driver_id)
        if self._draining:
            self._everyone_left.set()

    def owns(self, driver_id: str, epoch: int) -> None:
        """The connection here is the newest of the driver: this host tells the supply of them."""
        if self._presence.get(driver_id) is not None:
            self._live.own(driver_id, epoch)

    def lost(self, driver_id: str, epoch: int) -> None:
        """The driver went on to another host. What this one has told the supply is taken back where it still stands."""
        if 0 < self._live.driver(driver_id).epoch < epoch:
            self._drop(driver_id)

    def gone(self, driver_id: str) -> None:
        """The driver is nowhere any more: offers go to others. After a restart drivers come back, and find theirs."""
        if not self._draining:
            self._lanes.submit(driver_id, lambda: self._gone(driver_id), spare=2 * _SPARE_JOBS)

    def ping(self, connection: Connection, ping: Ping) -> None:
        """The driver's position, where it did not come through the lane."""
        self._intake.message(connection, [ping], fresh=True)

    def said(self, connection: Connection, message: Pings | Command) -> None:
        """Every other message: buffered pings at once, commands in their turn."""
        limit = self._settings.max_buffered_pings
        if not isinstance(message, Pings):
            self._obey(connection, message)
        elif len(message.items) > limit:
            connection.complain("too_many_pings", f"items: at most {limit} pings in one message")
        else:
            self._intake.message(connection, message.items, fresh=False)

    def settled(self, connection: Connection) -> None:
        """The lane reads on."""
        self._lane.join(connection)

    def leaving(self, connection: Connection) -> None:
        """The library reads on."""
        self._lane.leave(connection)

    def _obey(self, connection: Connection, command: Command) -> None:
        driver_id = connection.driver_id

        async def job() -> None:
            error = await self._commands.follow(driver_id, command)
            if error is not None:
                (self._presence.get(driver_id) or connection).send(error)

        if not self._lanes.submit(driver_id, job):
            connection.complain("too_many_commands", "earlier commands are still being followed; slow down")

    async def _gone(self, driver_id: str) -> None:
        if self._presence.get(driver_id) is None:
            await self._parts.desk.disconnected(driver_id)

    async def _flush_supply(self) -> None:
        await self._supply.flush()
        for driver_id in self._supply.take_lost():
            self._drop(driver_id)

    def _drop(self, driver_id: str) -> None:
        connection = self._presence.get(driver_id)
        if connection is None:
            return
        self._presence.leave(driver_id, connection)
        connection.close(REPLACED, "another connection of this driver took over")
        self._live.set_connected(driver_id, False)
        self._roll.leave(driver_id)

    async def _send_acks(self) -> None:
        self._acks.tick()

    async def _flush_trail(self) -> None:
        if self._writer.due():
            await self._writer.flush()

    def _durable(self, driver: Driver) -> None:
        connection = self._presence.get(driver.id)
        if connection is not None:
            self._acks.durable(connection)

    async def _purge(self) -> None:
        before = self._clock.now() - self._settings.raw_ping_retention_s
        await self._parts.trail.purge(int(before * 1000))

    async def _repeat(
        self, step: Callable[[], Awaitable[object]], every_s: float, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        while True:
            await sleep(every_s)
            try:
                await step()
            except Unavailable as error:
                _log.warning("a store is away", extra={"detail": error.detail})
            except Exception:
                _log.exception("a step of the gateway failed")
