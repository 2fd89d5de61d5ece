"""The databases of the rooms: one for all by default, several where the settings name several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from runtime.sql import Database
from runtime.sqlsettings import SqlSettings

Room = Literal["riders", "drivers", "trips", "payments"]
ROOMS: tuple[Room, ...] = get_args(Room)


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the tables of each room are. `trips` has dispatch, the outbox and the idempotency keys too.

    No transaction spans two rooms' databases: what a room needs of another one it reads before its transaction, and
    what it has to tell leaves as an event.
    """

    riders: Database
    drivers: Database
    trips: Database
    payments: Database

    def each(self) -> Sequence[tuple[Database, tuple[Room, ...]]]:
        """Every database once, with the rooms whose tables it has."""
        rooms: dict[int, tuple[Database, tuple[Room, ...]]] = {}
        for room in ROOMS:
            database: Database = getattr(self, room)
            _, before = rooms.get(id(database), (database, ()))
            rooms[id(database)] = database, (*before, room)
        return tuple(rooms.values())

    async def close(self) -> None:
        """Close them all."""
        for database, _ in self.each():
            await database.close()


def open_databases(settings: SqlSettings, embedded_url: str) -> Databases:
    """The databases that the settings name; `embedded_url` stands in for an empty main one. Nothing connects yet."""
    main_url = settings.url or embedded_url
    urls = {room: getattr(settings, f"{room}_url", "") or main_url for room in ROOMS}
    opened = {url: Database(url, settings) for url in dict.fromkeys(urls.values())}
    return Databases(**{room: opened[urls[room]] for room in ROOMS})
