"""Runs the migrations on the connection that `Control` hands over."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from alembic import context

from tipline import store
from tipline.store.control import METADATA

for module in iter_modules(store.__path__, f"{store.__name__}."):
    import_module(module.name)  # each adds its tables

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
