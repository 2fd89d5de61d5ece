"""Accounts on SQLite in a temporary folder."""

from __future__ import annotations

import pytest

from accounts.adapters.sql import SqlDriverWork, SqlPeople, SqlRiderWork, SqlTransactions
from accounts.model import Driver
from accounts.service import DriverDesk, RiderDesk
from core.ids import Ids
from runtime.clocks import ManualClock
from runtime.sql import Database


class Watch:
    """Remembers which drivers changed."""

    def __init__(self) -> None:
        self.seen: list[Driver] = []

    async def changed(self, driver: Driver) -> None:
        self.seen.append(driver)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def riders(database: Database, ids: Ids, clock: ManualClock) -> RiderDesk:
    return RiderDesk(SqlTransactions(database, SqlRiderWork), SqlPeople(database, database), ids, clock)


@pytest.fixture
def drivers(database: Database, watch: Watch, ids: Ids, clock: ManualClock) -> DriverDesk:
    return DriverDesk(SqlTransactions(database, SqlDriverWork), SqlPeople(database, database), watch, ids, clock)
