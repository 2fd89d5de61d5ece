"""Alembic's entry: runs on a connection that runtime.migrations hands over, so that no URL stands in a file."""

from __future__ import annotations

from alembic import context

import app.schema  # noqa: F401 - for the rooms' tables
from runtime.sql import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
