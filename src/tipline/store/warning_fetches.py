"""How warning lists of one's own were fetched: when, with what result, and what the next fetch may ask on condition."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, String, Table, Text, delete, insert, select

from tipline.store.control import METADATA, Control

FETCHES = Table(
    "warning_fetches",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("tried", DateTime, nullable=False),
    Column("fetched", DateTime),
    Column("failing_since", DateTime),
    Column("message", Text, nullable=False),
    Column("state", JSON),  # validators of the addresses
    Column("source", Text, nullable=False),  # a digest of where it came from
)


@dataclass(frozen=True)
class Fetched:
    """One list's fetches.

    Attributes:
        name: of the list.
        tried: when it was tried last.
        fetched: when it was had last, changed or not.
        failing_since: since when it cannot be had.
        message: why; empty if it can.
        state: of the fetch, for the next one.
        source: a digest of where it came from: what was fetched from elsewhere does not count.
    """

    name: str
    tried: datetime
    fetched: datetime | None
    failing_since: datetime | None
    message: str
    state: dict[str, Any] | None
    source: str


def fetches(control: Control) -> dict[str, Fetched]:
    """What is known of every list's fetches, by name."""
    with control.reading() as con:
        return {row["name"]: Fetched(**row) for row in con.execute(select(FETCHES)).mappings()}


def keep(control: Control, fetched: Fetched) -> None:
    """Keep what came of a fetch."""
    with control.transaction() as con:
        con.execute(delete(FETCHES).where(FETCHES.c.name == fetched.name))
        con.execute(insert(FETCHES).values(**vars(fetched)))


def forget(control: Control, name: str) -> None:
    """Forget a list's fetches."""
    with control.transaction() as con:
        con.execute(delete(FETCHES).where(FETCHES.c.name == name))
