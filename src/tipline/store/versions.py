"""Versions of the configuration that were put to work, and the one candidate that people are editing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, DateTime, Integer, String, Table, Text, delete, func, insert, select

from tipline.store.control import METADATA, Control

# Every text that was put to work; the newest one is what runs.
VERSIONS = Table(
    "versions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("text", Text, nullable=False),
)

# What people are editing; at most one row. `revision` counts its savings, so that two at once are noticed.
CANDIDATE = Table(
    "candidate",
    METADATA,
    Column("base", Integer, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("text", Text, nullable=False),
)


@dataclass(frozen=True)
class Version:
    """A configuration that was put to work."""

    number: int
    at: datetime
    actor: str
    message: str
    text: str

    def as_dict(self, *, text: bool = True) -> dict[str, Any]:
        """For people; without the text for lists."""
        found = {"version": self.number, "at": self.at, "actor": self.actor, "message": self.message}
        return {**found, "text": self.text} if text else found


@dataclass(frozen=True)
class Candidate:
    """A text in the making: which version it began from, and how often it was saved."""

    base: int
    revision: int
    at: datetime
    actor: str
    text: str


def newest(control: Control) -> Version | None:
    """What was put to work last."""
    found = listed(control, limit=1)
    return found[0] if found else None


def note(control: Control, at: datetime, actor: str, message: str, text: str) -> int:
    """Note a text that was put to work; returns the version's number (the newest one's, if the text is the same)."""
    last = newest(control)
    if last is not None and last.text == text:
        return last.number
    with control.transaction() as con:
        done = con.execute(insert(VERSIONS).values(at=at, actor=actor, message=message, text=text))
        return int((done.inserted_primary_key or (0,))[0])


def listed(control: Control, *, limit: int, before: int | None = None) -> list[Version]:
    """Versions, newest first.

    Args:
        control: where they are.
        limit: how many at most.
        before: only those older than this number.
    """
    query = select(VERSIONS).order_by(VERSIONS.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(VERSIONS.c.id < before)
    with control.reading() as con:
        return [_version(row) for row in con.execute(query).mappings()]


def version(control: Control, number: int) -> Version | None:
    """One version."""
    with control.reading() as con:
        row = con.execute(select(VERSIONS).where(VERSIONS.c.id == number)).mappings().first()
    return _version(row) if row else None


def candidate(control: Control) -> Candidate | None:
    """What is being edited."""
    with control.reading() as con:
        row = con.execute(select(CANDIDATE)).mappings().first()
    return Candidate(**row) if row else None


def newest_number(control: Control) -> int:
    """The number of what was put to work last, without its text; 0: nothing was."""
    with control.reading() as con:
        return con.execute(select(func.max(VERSIONS.c.id))).scalar() or 0


def candidate_revision(control: Control) -> tuple[int, int]:
    """What is being edited, without its text: the version it began from, and its revision; zeros: nothing is."""
    with control.reading() as con:
        row = con.execute(select(CANDIDATE.c.base, CANDIDATE.c.revision)).first()
    return (row.base, row.revision) if row else (0, 0)


def keep_candidate(control: Control, made: Candidate) -> bool:
    """Keep a candidate in place of the one with the revision before; returns whether that was still the newest."""
    with control.transaction() as con:
        now = con.execute(select(CANDIDATE.c.revision)).scalar() or 0
        if now != made.revision - 1:
            return False
        con.execute(delete(CANDIDATE))
        con.execute(insert(CANDIDATE).values(**vars(made)))
        return True


def drop_candidate(control: Control) -> None:
    """Forget what is being edited."""
    with control.transaction() as con:
        con.execute(delete(CANDIDATE))


def _version(row: Mapping[Any, Any]) -> Version:
    return Version(row["id"], row["at"], row["actor"], row["message"], row["text"])
