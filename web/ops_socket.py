"""/v1/ops/ws: the whole city, one binary frame a second, made once for all who watch."""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter, WebSocket

from core.clock import rfc3339
from core.errors import HexcabError, TooMany
from runtime.settings import WebSettings
from web.auth import socket_caller
from web.connection import Connection, refuse
from web.edge import edge_of
from web.engine import Engine
from web.frames import FIELDS, ROW, STATUSES, Rows, frame
from web.hub import GOING_AWAY
from web.mercator import STEPS, MercatorBox
from web.ports import Body
from web.segments import named, supply_of

log = logging.getLogger(__name__)
router = APIRouter()

SEGMENTS_EVERY = 5  # frames


@router.websocket("/ops/ws")
async def ops_socket(socket: WebSocket) -> None:
    """Serve one operator, or a page that may watch."""
    edge = edge_of(socket)
    feed: OpsFeed = socket.app.state.ops_feed
    try:
        await socket_caller(socket, "ops", "view")
        connection = Connection(socket, edge.settings.web, edge.engine.wall)
        feed.check_room()
    except HexcabError as error:
        await refuse(socket, error)
        return
    await connection.accept()
    feed.join(connection)
    try:
        await connection.run(_listen(connection))
    finally:
        feed.leave(connection)


async def _listen(connection: Connection) -> None:
    async for _ in connection.frames():
        connection.refuse_message("unknown_type", "operators only listen here", None)


class OpsFeed:
    """Makes the frames while anybody watches."""

    def __init__(self, engine: Engine, settings: WebSettings, box: MercatorBox) -> None:
        self._engine = engine
        self._settings = settings
        self._box = box
        self._rows = Rows()
        self._watchers: set[Connection] = set()
        self._task: asyncio.Task[None] | None = None
        self._last: list[Body | bytes] = []

    @property
    def count(self) -> int:
        """Open sockets."""
        return len(self._watchers)

    def check_room(self) -> None:
        """Raises TooMany when no more may watch."""
        if len(self._watchers) >= self._settings.max_watchers:
            raise TooMany("too many are watching", retry_after_s=5.0)

    def join(self, connection: Connection) -> None:
        """Greet a watcher and show what the others saw last; the first one starts the frames."""
        connection.tell(self.hello())
        for message in self._last:
            connection.tell(message)
        self._watchers.add(connection)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self, connection: Connection) -> None:
        """Let a watcher go; with the last one the frames stop."""
        self._watchers.discard(connection)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            self._task = None
            self._last = []

    def close(self) -> None:
        """Begin to close every socket: the server is going away."""
        for watcher in list(self._watchers):
            watcher.close(GOING_AWAY, "the server is going away")

    def hello(self) -> Body:
        """How to read the frames."""
        return {
            "type": "hello",
            "city": self._engine.city.name,
            "bounds": [float(edge) for edge in self._engine.city.bounds],
            "box": self._box.as_list(),
            "steps": STEPS,
            "row_bytes": ROW.itemsize,
            "layout": FIELDS,
            "statuses": list(STATUSES),
            "every_s": self._settings.ops_every_s,
        }

    async def _run(self) -> None:
        count = 0
        while True:
            try:
                self._last = await self._look(with_segments=count % SEGMENTS_EVERY == 0)
            except HexcabError:
                log.warning("the operators' feed could not be made", exc_info=True)
            except Exception:
                log.exception("the operators' feed failed")
            else:
                for message in self._last:
                    for watcher in list(self._watchers):
                        watcher.tell(message)
                count += 1
            await self._engine.wall.sleep(self._settings.ops_every_s)

    async def _look(self, with_segments: bool) -> list[Body | bytes]:
        fleet = await self._engine.fleet.snapshot()
        kpis = await self._engine.fleet.kpis(fleet)
        now = rfc3339(self._engine.clock.now())
        messages: list[Body | bytes] = [
            frame(fleet, self._rows, self._box),
            {"type": "kpis", "at": now, **kpis},
        ]
        if with_segments:
            demand = await self._engine.fleet.demand()
            supply = supply_of(fleet, self._engine.segments.newest)
            messages.append({"type": "segments", "supply": named(supply), "demand": named(demand)})
        return messages
