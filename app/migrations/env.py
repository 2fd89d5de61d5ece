"""Alembic's entry: runs on a connection that app.schema hands over, so that no URL stands in a file."""

from __future__ import annotations

from alembic import context

from app.schema import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables(), render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
