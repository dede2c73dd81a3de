"""Accounts at rest: users, keys, browser sessions and failed sign-ins; no password or key in clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from tipline.store.control import METADATA, Control

USERS = Table(
    "users",
    METADATA,
    Column("name", String(100), primary_key=True),
    Column("display", String(200), nullable=False, default=""),
    Column("role", String(20), nullable=False),
    Column("team", String(200), nullable=False),
    Column("tags", JSON, nullable=False, default=list),  # of feed readers: which lists they may read
    Column("password", String(300)),  # a hash; null: cannot sign in with a password
    Column("subject", String(500), unique=True),  # issuer and subject of single sign-on
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created", DateTime, nullable=False),
    Column("seen", DateTime),
)

_OWNER = ForeignKey("users.name", ondelete="CASCADE")
KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", String(16), primary_key=True),  # the key's first characters, which may be shown
    Column("user", String(100), _OWNER, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("label", String(200), nullable=False, default=""),
    Column("scopes", JSON, nullable=False, default=list),  # empty: all that the user may do
    Column("rate", Integer, nullable=False),  # requests a minute
    Column("created", DateTime, nullable=False),
    Column("expires", DateTime),
    Column("used", DateTime),
    Column("used_from", String(60), nullable=False, default=""),
    Index("api_keys_user", "user"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", String(64), primary_key=True),
    Column("user", String(100), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("created", DateTime, nullable=False),
    Column("seen", DateTime, nullable=False),
    Column("address", String(60), nullable=False, default=""),
    Column("agent", String(300), nullable=False, default=""),
    Column("issuer", String(40), nullable=False, default=""),  # who vouched; empty: a password did
    Column("sid", String(200), nullable=False, default=""),  # the issuer's word for its own session
    Index("sessions_user", "user"),
)

# Failed sign-ins of a name or an address; gone after a success, or when enough time has passed.
THROTTLE = Table(
    "throttle",
    METADATA,
    Column("subject", String(300), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last", DateTime, nullable=False),
)

Row = dict[str, Any]


def count_users(control: Control) -> int:
    """How many users there are."""
    with control.reading() as con:
        return int(con.execute(select(func.count()).select_from(USERS)).scalar() or 0)


def one(control: Control, table: Table, *where: Any) -> Row | None:
    """The row of a table that fulfils conditions; None: there is none."""
    with control.reading() as con:
        row = con.execute(select(table).where(*where)).mappings().first()
    return dict(row) if row else None


def some(control: Control, table: Table, *where: Any) -> Sequence[Row]:
    """The rows of a table that fulfil conditions, in the order of their primary key."""
    with control.reading() as con:
        return [dict(row) for row in con.execute(select(table).where(*where).order_by(*table.primary_key)).mappings()]


def put(control: Control, table: Table, values: Mapping[str, Any]) -> bool:
    """Add a row; returns whether it is new (False: one with its key was there, and stays)."""
    keys = [column == values[column.name] for column in table.primary_key]
    with control.transaction() as con:
        if con.execute(select(func.count()).select_from(table).where(*keys)).scalar():
            return False
        con.execute(insert(table).values(**values))
        return True


def change(control: Control, table: Table, values: Mapping[str, Any], *where: Any) -> int:
    """Change rows; returns how many."""
    with control.transaction() as con:
        return int(con.execute(update(table).where(*where).values(**values)).rowcount)


def drop(control: Control, table: Table, *where: Any) -> int:
    """Delete rows; returns how many."""
    with control.transaction() as con:
        return int(con.execute(delete(table).where(*where)).rowcount)


def seen(control: Control, token_digest: str, user: str, at: datetime) -> None:
    """Note that a session was used."""
    with control.transaction() as con:
        con.execute(update(SESSIONS).where(SESSIONS.c.digest == token_digest).values(seen=at))
        con.execute(update(USERS).where(USERS.c.name == user).values(seen=at))


def failed(control: Control, subjects: Sequence[str], at: datetime, forget: datetime) -> None:
    """Count a failed sign-in for a name and an address; older than `forget`, the count begins anew."""
    with control.transaction() as con:
        for subject in subjects:
            row = con.execute(select(THROTTLE).where(THROTTLE.c.subject == subject)).first()
            if row is None:
                con.execute(insert(THROTTLE).values(subject=subject, failures=1, last=at))
            else:
                number = row.failures + 1 if row.last > forget else 1
                con.execute(update(THROTTLE).where(THROTTLE.c.subject == subject).values(failures=number, last=at))


def prune_accounts(control: Control, sessions: datetime, throttle: datetime) -> None:
    """Drop sessions not used since a moment, and failures of before another."""
    drop(control, SESSIONS, SESSIONS.c.seen < sessions)
    drop(control, THROTTLE, THROTTLE.c.last < throttle)
