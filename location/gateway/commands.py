"""What drivers ask for, handed to the desk one by one."""

from __future__ import annotations

import logging

from core.errors import HexcabError
from location.messages import Accept, Arrive, Board, Cancel, Command, Complete, Decline, Error, Status
from location.ports import DriverDesk
from location.supply import Supply
from location.trail import TrailWriter

_log = logging.getLogger(__name__)


class Commands:
    """Follows commands through the DriverDesk and keeps the live table in step."""

    def __init__(self, desk: DriverDesk, supply: Supply, writer: TrailWriter) -> None:
        self._desk = desk
        self._supply = supply
        self._writer = writer

    async def follow(self, driver_id: str, command: Command) -> Error | None:
        """Do what the driver asks; returns what to tell them when it cannot be done."""
        about = str(type(command).__struct_config__.tag)
        try:
            await self._hand_over(driver_id, command)
        except HexcabError as error:
            return Error(error.code, error.detail, about=about)
        except Exception:
            _log.exception("a driver's command failed", extra={"command": about})
            return Error("internal", "this could not be done; try again", about=about)
        return None

    async def _hand_over(self, driver_id: str, command: Command) -> None:
        desk = self._desk
        match command:
            case Status(online=online):
                await desk.status(driver_id, online)
                self._supply.set_online(driver_id, online)
            case Accept(offer_id=offer_id):
                await desk.accept(driver_id, offer_id)
            case Decline(offer_id=offer_id, reason=reason):
                await desk.decline(driver_id, offer_id, reason)
            case Arrive(trip_id=trip_id):
                await desk.arrive(driver_id, trip_id)
            case Board(trip_id=trip_id, start_code=code):
                await desk.board(driver_id, trip_id, code)
            case Complete(trip_id=trip_id):
                # the trip is priced by its trail as soon as it is completed
                await self._writer.make_durable(self._supply.live.driver(driver_id))
                await desk.complete(driver_id, trip_id)
            case Cancel(trip_id=trip_id, reason=reason):
                await desk.cancel(driver_id, trip_id, reason)
