"""A lease in SQL: of several processes that could do some work, one does it, and another goes on when it falls silent.

Time is the database's own, so that hosts whose clocks differ agree. Each holder has a fencing number, higher than all
before it: what it writes asks in the same statement whether the number still stands. A process that was paused for
longer than its lease thus changes nothing after it wakes.
"""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from core.errors import Conflict
from runtime.sql import Database, Transaction, metadata, unique

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(80), nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False),  # the database's time, epoch seconds
)

_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) AS double precision)",
    "mariadb": "CAST(UNIX_TIMESTAMP(SYSDATE(6)) AS DOUBLE)",
}


class Lease:
    """One name that one owner holds at a time, for `lease_s` of the settings after each `take` or `renew`.

    `owner` is unique among the processes that run; one that starts again under its name takes its lease back at once.
    """

    def __init__(self, database: Database, name: str, owner: str) -> None:
        self.database = database
        self.lease_s = database.settings.lease_s
        self._name = name
        self._owner = owner
        self._now: sa.ColumnElement[float] = sa.literal_column(_NOW[database.kind], sa.Double)
        self._fence = 0
        self._good_until = 0.0  # of the loop's clock, which no step of the wall's moves

    @property
    def held(self) -> bool:
        """Whether nobody else can have taken it yet."""
        return asyncio.get_running_loop().time() < self._good_until

    async def take(self) -> bool:
        """Become the owner, if nobody is; whether we are. Raises Unavailable."""
        asked = asyncio.get_running_loop().time()
        try:
            fence = await self.database.repeated(self._take)
        except Conflict:  # another made the row at the same moment
            fence = None
        self._fence = fence or 0
        self._good_until = asked + self.lease_s if fence else 0.0
        return fence is not None

    async def renew(self) -> bool:
        """Hold it for longer; False when it is lost, or was never ours. Raises Unavailable."""
        asked = asyncio.get_running_loop().time()
        values = {"expires_at": self._now + self.lease_s}
        async with self.database.transaction() as tx:
            done = await tx.connection.execute(sa.update(leases).where(*self._ours()).values(**values))
        kept = done.rowcount == 1
        self._good_until = asked + self.lease_s if kept else 0.0
        return kept

    async def release(self) -> None:
        """Let others have it at once; nothing happens when it is not ours. Raises Unavailable."""
        self._good_until = 0.0
        async with self.database.transaction() as tx:
            await tx.connection.execute(sa.update(leases).where(*self._ours()).values(expires_at=0.0))

    def stands(self) -> sa.ColumnElement[bool]:
        """The condition, for a statement of ours, that nobody has taken the lease since we did."""
        return sa.exists(sa.select(leases.c.name).where(*self._ours()))

    def _ours(self) -> tuple[sa.ColumnElement[bool], ...]:
        return leases.c.name == self._name, leases.c.owner == self._owner, leases.c.fence == self._fence

    async def _take(self, tx: Transaction) -> int | None:
        mine = leases.c.name == self._name
        until = self._now + self.lease_s
        free = (leases.c.expires_at < self._now) | (leases.c.owner == self._owner)
        values = {"owner": self._owner, "fence": leases.c.fence + 1, "expires_at": until}
        done = await tx.connection.execute(sa.update(leases).where(mine, free).values(**values))
        row = (await tx.connection.execute(sa.select(leases.c.fence).where(mine))).first()
        if row is None:
            first = {"name": self._name, "owner": self._owner, "fence": 1, "expires_at": until}
            with unique(leases, {"name": Conflict("the lease was taken", code="lease_taken")}):
                await tx.connection.execute(sa.insert(leases).values(**first))
            return 1
        return int(row.fence) if done.rowcount else None
