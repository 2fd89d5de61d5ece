"""Steps of migrations that may be taken again: MariaDB cannot take back the first half of an upgrade that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.sql.schema import SchemaItem


def make_table(name: str, *items: SchemaItem) -> None:
    """Make a table where it is missing."""
    op.create_table(name, *items, if_not_exists=True)


def make_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Make an index where it is missing."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(op.f(name), table, list(columns))


def make_column(table: str, column: sa.Column[Any]) -> None:
    """Make a column where it is missing."""
    if column.name not in {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def make_unique(name: str, table: str, columns: Sequence[str]) -> None:
    """Make a uniqueness where it is missing."""
    if name not in {each["name"] for each in sa.inspect(op.get_bind()).get_unique_constraints(table)}:
        with op.batch_alter_table(table) as batch:  # SQLite makes the table anew
            batch.create_unique_constraint(op.f(name), list(columns))
