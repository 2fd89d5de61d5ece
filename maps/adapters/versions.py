"""How often each kind of map knowledge was changed. Its row is locked by each change, so writers take turns."""

from __future__ import annotations

import sqlalchemy as sa

from core.errors import Conflict
from runtime.sql import Database, Transaction, metadata, unique

map_versions = sa.Table(
    "map_versions",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
)


async def version_of(database: Database, name: str) -> int:
    """How often it was changed. Raises Unavailable."""
    query = sa.select(map_versions.c.version).where(map_versions.c.name == name)
    async with database.reading() as connection:
        return int((await connection.execute(query)).scalar() or 0)


async def next_version(tx: Transaction, name: str) -> int:
    """The version of a change that this transaction makes. Raises Conflict when another is just making the first."""
    of_name = map_versions.c.name == name
    raised = await tx.connection.execute(
        sa.update(map_versions).where(of_name).values(version=map_versions.c.version + 1)
    )
    if not raised.rowcount:
        with unique(map_versions, {"name": Conflict(f"somebody else has changed the {name} at this moment")}):
            await tx.connection.execute(sa.insert(map_versions).values(name=name, version=1))
    found = await tx.connection.execute(sa.select(map_versions.c.version).where(of_name))
    return int(found.scalar_one())
