"""The settings of the SQL databases: a section of the tree in runtime.settings."""

from __future__ import annotations

from typing import Literal

import msgspec


class SqlSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The SQL databases. An empty URL: SQLite in the data directory; an empty room's URL: the main one.

    Times are wall seconds. `pool` and `read_pool` are connections of one process to one database, opened when needed.
    """

    url: str = ""  # trips and all else: postgresql://..., mariadb://... or mysql://...; options: ?ssl=require|verify
    riders_url: str = ""
    drivers_url: str = ""
    payments_url: str = ""
    pool: int = 8  # connections for transactions
    read_pool: int = 4
    pool_wait_s: float = 2.0  # for a free connection
    connect_s: float = 3.0
    statement_s: float = 5.0  # the longest that one statement may take, waiting for locks included
    lock_s: float = 3.0  # the longest wait for a row that somebody else changes
    idle_transaction_s: float = 10.0  # the server ends a transaction whose process fell silent
    recycle_s: float = 1_800.0  # a connection older than this is replaced before its next use
    contended_tries: int = 4  # of a transaction that may be repeated, when the server picked it to break a deadlock
    contended_pause_s: float = 0.02  # before the second try, spread; doubles with each
    upgrade_wait_s: float = 120.0  # for another process that upgrades the schema
    lease_s: float = 5.0  # how long the one relay of a database may fall silent before another takes over
    booking_batch: int = 64  # bookings that share a commit, or questions that share a statement
    waiting: int = 10_000  # of those, until the next commit or statement
    sqlite_busy_s: float = 10.0  # the longest wait for another process's lock on the file
    sqlite_synchronous: Literal["FULL", "NORMAL"] = "FULL"
