"""Alembic migrations of the main SQL database, run by `hexcab db upgrade` and at every start of an embedded engine."""
