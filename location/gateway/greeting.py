"""The beginning of a connection: nothing a driver sends counts before it is known what they are doing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import Clock
from core.errors import HexcabError, Unavailable
from location.gateway.acks import Acks
from location.gateway.codes import INTERNAL, POLICY, TRY_LATER
from location.gateway.connection import Connection
from location.messages import Position, Welcome
from location.pings import PingPath
from location.ports import DriverDesk, Roll, TrailLog
from location.supply import Supply
from runtime.settings import LocationSettings


@dataclass(frozen=True, slots=True)
class Greeter:
    """Welcomes drivers with their state, and keeps what they send before."""

    desk: DriverDesk
    roll: Roll
    trail: TrailLog
    supply: Supply
    path: PingPath
    acks: Acks
    clock: Clock
    settings: LocationSettings

    def hold(self, connection: Connection, pings: Sequence[Position]) -> None:
        """Keep pings until it is known which trip they belong to, and so what their ack promises."""
        if len(connection.held) + len(pings) > self.settings.max_buffered_pings:
            connection.close(TRY_LATER, "too many pings before the welcome")
            return
        connection.held.extend(pings)

    async def greet(self, connection: Connection) -> None:
        """Find out the driver's state, use what was held, and send the welcome; the connection is closed otherwise.

        Where the trail log is away the driver goes on from what this host knows of them.
        """
        if connection.closing:
            return
        driver_id = connection.driver_id
        await self.roll.known(driver_id)
        await self._recall(driver_id)
        try:
            state = await self.desk.state(driver_id)
        except HexcabError as error:
            connection.close(TRY_LATER if isinstance(error, Unavailable) else POLICY, error.detail)
            return
        except Exception:
            connection.close(INTERNAL)
            raise
        # nothing is awaited since the desk has made sure of it: a trip that has ended would keep the driver busy
        if state.trip is not None and isinstance(state.trip.get("trip_id"), str):
            self.supply.set_busy(driver_id, state.trip["trip_id"])
        if state.online is not None:
            self.supply.set_online(driver_id, state.online)
        if not self._use_held(connection):
            connection.close(TRY_LATER, "pings of trips cannot be kept now")
            return
        seq, interval_s = connection.driver.safe_seq, self.settings.ping_interval_s
        connection.welcome(Welcome(driver_id, seq, interval_s, state.trip, state.offers))

    async def _recall(self, driver_id: str) -> None:
        """Go on from the log: another host may have had the driver meanwhile. A log that is away holds nobody up."""
        try:
            async with asyncio.timeout(self.settings.last_position_wait_s):
                last = await self.trail.last_position(driver_id)
        except (TimeoutError, Unavailable):  # the writer says that the log is away
            return
        if last is not None:
            self.supply.live.restore(last)

    def _use_held(self, connection: Connection) -> bool:
        held, connection.held = connection.held, []
        if held:
            self.acks.owe(connection)
        return self.path.take_batch(connection.driver, held, self.clock.now())
