"""Runs the migrations on the connection that `Control` hands over."""

from __future__ import annotations

from alembic import context

from tipline.store import (  # noqa: F401 - their tables
    accounts,
    delivery_counts,
    overrides,
    versions,
    visits,
)
from tipline.store.control import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
