"""Control: small transactional tables (runs, holds, deliveries, receipts, audit) on SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    text,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tipline.errors import StoreError

FILE = "control.sqlite"
METADATA = MetaData()

# One execution of a node and its account: read = accepted + duplicate + dropped.
RUNS = Table(
    "runs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("node", String(200), nullable=False),
    Column("sort", String(20), nullable=False),
    Column("started", DateTime, nullable=False),
    Column("finished", DateTime),
    Column("state", String(20), nullable=False),  # ok, unchanged, held, failed
    Column("message", Text, nullable=False, default=""),
    Column("read", BigInteger, nullable=False, default=0),
    Column("accepted", BigInteger, nullable=False, default=0),
    Column("duplicate", BigInteger, nullable=False, default=0),
    Column("dropped", JSON, nullable=False, default=dict),  # reason -> count
    Column("samples", JSON, nullable=False, default=list),  # [{reason, value}]
    Column("added", BigInteger, nullable=False, default=0),
    Column("changed", BigInteger, nullable=False, default=0),
    Column("removed", BigInteger, nullable=False, default=0),
    Column("held", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Index("runs_node", "node", "id"),
)

# What a guard keeps back, until a person or time releases it.
HOLDS = Table(
    "holds",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("node", String(200), nullable=False),
    Column("sort", String(20), nullable=False),
    Column("what", String(20), nullable=False),  # withdrawals, additions, removals
    Column("reason", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("samples", JSON, nullable=False, default=list),
    Column("since", DateTime, nullable=False),
    Column("seen", DateTime, nullable=False),
    Column("approved_by", String(200)),
    Column("approved_at", DateTime),
    Column("ended", DateTime),
    Column("end_reason", Text),
)

# An output's journey to a far side.
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("output", String(200), primary_key=True),
    Column("cursor", BigInteger, nullable=False, default=0),
    Column("state", String(30), nullable=False, default="new"),
    Column("message", Text, nullable=False, default=""),
    Column("resync", Integer, nullable=False, default=1),
    Column("sent", BigInteger, nullable=False, default=0),
    Column("accepted", BigInteger, nullable=False, default=0),
    Column("errors", BigInteger, nullable=False, default=0),
    Column("deleted", BigInteger, nullable=False, default=0),
    Column("last_cycle", DateTime),
    Column("last_success", DateTime),
    Column("last_reconcile", DateTime),
    Column("detail", JSON, nullable=False, default=dict),
)

# What the far side answered for each indicator.
RECEIPTS = Table(
    "receipts",
    METADATA,
    Column("output", String(200), primary_key=True),
    Column("key", String(32), primary_key=True),  # the indicator's key as 32 hex digits
    Column("type", String(40), nullable=False),
    Column("value", Text, nullable=False),
    Column("state", String(20), nullable=False),  # sending, accepted, parked, withdrawing, withdrawn
    Column("holds", String(8), nullable=False, default="no"),  # whether the far side has a copy: no, yes, perhaps
    Column("identity", String(200), nullable=False, default=""),  # what a change of needs a delete and a create
    Column("far_id", String(300)),
    Column("sent", String(64), nullable=False, default=""),  # digest of what was sent
    Column("generation", Integer, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    Column("first_sent", DateTime),
    Column("last_sent", DateTime),
    Column("accepted_at", DateTime),
    Column("expires", DateTime),  # when the far side forgets it by itself
    Column("due", DateTime),  # next refresh, or next try of a parked item
    Column("detail", JSON, nullable=False, default=dict),
    Index("receipts_due", "output", "due"),
    Index("receipts_state", "output", "state"),
)

# Who did what, from where.
AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("team", String(200), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSON, nullable=False, default=dict),
    Column("address", String(60), nullable=False, default="", server_default=""),
)

# Alerts that have started and not ended: told once when something starts, once when it ends.
ALERTS = Table(
    "alerts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(300), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("message", Text, nullable=False),
    Column("started", DateTime, nullable=False),
    Column("ended", DateTime),
    Column("told", JSON, nullable=False, default=dict),  # channel -> which of start/end was told
    Index("alerts_open", "ended", "name"),
)

# Configurations that were put to work: the newest is in force.
CONFIGS = Table(
    "configs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("nodes", JSON, nullable=False),
)


class Control:
    """The control database.

    Args:
        directory: the data directory; None keeps it in memory.

    Raises:
        StoreError: it cannot be opened, or a newer tipline wrote it.
    """

    def __init__(self, directory: Path | None) -> None:
        self.path = directory / FILE if directory else None
        url = f"sqlite+pysqlite:///{self.path}" if self.path else "sqlite+pysqlite://"
        self.engine: Engine = _engine(url, in_memory=self.path is None)
        try:
            self._migrate()
        except SQLAlchemyError as exc:
            self.engine.dispose()
            raise StoreError(
                f"the control database cannot be used: {str(exc).splitlines()[0]}",
                where=str(self.path),
                fix="restore it from a backup, or move it away: receipts are rebuilt by `tipline reconcile`",
            ) from exc

    def close(self) -> None:
        """Let go of the file."""
        self.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, committed at the end.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._explained(), self.engine.begin() as con:
            yield con

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading.

        Raises:
            StoreError: the file cannot be read.
        """
        with self._explained(), self.engine.connect() as con:
            yield con

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as exc:
            raise StoreError(
                f"the control database refused: {exc.orig}",
                where=str(self.path or "memory"),
                fix="check free disk space and permissions, and run `tipline doctor`; the last good state is kept",
            ) from exc

    def _migrate(self) -> None:
        config = AlembicConfig()
        config.set_main_option("script_location", "tipline.store:migrations")
        scripts = ScriptDirectory.from_config(config)
        with self.engine.begin() as con:
            found = MigrationContext.configure(con).get_current_revision()
            if found and found not in {revision.revision for revision in scripts.walk_revisions()}:
                raise StoreError(
                    f"the control database was written by a newer tipline (revision {found})",
                    where=str(self.path),
                    fix="upgrade tipline, or restore a backup made by this version",
                )
            if found == scripts.get_current_head():
                return
            config.attributes["connection"] = con
            command.upgrade(config, "head")


def _engine(url: str, *, in_memory: bool) -> Engine:
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": 30}}
    if in_memory:
        from sqlalchemy.pool import StaticPool

        options["poolclass"] = StaticPool
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine


def revision(control: Control) -> str:
    """The layout of the file: its newest migration."""
    with control.reading() as con:
        return str(MigrationContext.configure(con).get_current_revision())


def integrity(control: Control) -> str:
    """SQLite's own check of the file: `ok`, or what is wrong."""
    with control.reading() as con:
        return str(con.execute(text("PRAGMA quick_check")).scalar())
