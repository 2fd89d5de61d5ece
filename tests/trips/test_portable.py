"""The tables of trips, accounts and payments compile for the databases we name."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

from accounts.adapters import sql as accounts
from payments.adapters import sql as payments
from trips.adapters import tables

TABLES = [
    tables.trips,
    tables.trip_events,
    tables.trip_ratings,
    accounts.riders,
    accounts.drivers,
    accounts.one_time_codes,
    payments.quotes,
]


DIALECTS: dict[str, sa.Dialect] = {
    "postgresql": postgresql.dialect(),  # type: ignore[no-untyped-call]
    "mariadb": mysql.dialect(is_mariadb=True),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_table_compiles_and_no_index_is_on_unbounded_text(table: sa.Table, name: str) -> None:
    assert str(CreateTable(table).compile(dialect=DIALECTS[name]))
    keyed = [column for index in table.indexes for column in index.columns] + list(table.primary_key.columns)
    keyed += [column for column in table.columns if column.unique]
    for column in keyed:
        if isinstance(column.type, sa.String):
            assert column.type.length is not None, column
