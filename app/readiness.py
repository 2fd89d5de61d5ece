"""What a process cannot do without: it is not ready while one of these is away."""

from __future__ import annotations

from app.stores import Stores
from runtime.redis_watch import RedisWatch
from runtime.sql import Database
from web.ports import Check


def readiness(stores: Stores) -> dict[str, Check]:
    """What a process cannot do without."""
    each = stores.databases.each()
    checks: dict[str, Check] = {
        "sql" if len(each) == 1 else f"sql {', '.join(rooms)}": _Answers(database) for database, rooms in each
    }
    checks["redis"] = _Redis(stores.redis)
    if stores.archives.needed:
        checks["archive"] = stores.archives.check
    return checks


class _Answers:
    """web's Check of a SQL store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __call__(self) -> None:
        await self._database.ping()


class _Redis:
    """web's Check of the supply's store."""

    def __init__(self, watch: RedisWatch) -> None:
        self._watch = watch

    async def __call__(self) -> None:
        await self._watch.ready()
