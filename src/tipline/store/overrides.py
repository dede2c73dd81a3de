"""What people set otherwise for single indicators at a far side: a fact of ours, whatever sources say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    RowMapping,
    String,
    Table,
    Text,
    delete,
    insert,
    or_,
    select,
)

from tipline.store.control import METADATA, Control

OVERRIDES = Table(
    "overrides",
    METADATA,
    Column("output", String(200), primary_key=True),
    Column("key", String(32), primary_key=True),  # the indicator's key as 32 hex digits
    Column("type", String(40), nullable=False),
    Column("value", Text, nullable=False),
    Column("action", String(40)),
    Column("severity", String(40)),
    Column("title", String(200)),
    Column("expires", DateTime),  # when the far side is to forget the indicator
    Column("reason", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("at", DateTime, nullable=False),
    Column("until", DateTime),  # when the indicator is as the output says again
)
_C = OVERRIDES.c


@dataclass(frozen=True)
class Override:
    """How one indicator of an output is to be, instead of as the output's settings say; None: as these say.

    Attributes:
        key, type, value: the indicator.
        action, severity, title, expires: in the far side's words; `expires` is when it forgets the indicator.
        reason, actor, at: why, by whom and when it was set.
        until: when it ends by itself.
    """

    key: str
    type: str
    value: str
    action: str | None = None
    severity: str | None = None
    title: str | None = None
    expires: datetime | None = None
    reason: str = ""
    actor: str = ""
    at: datetime | None = None
    until: datetime | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """What it sets: the far side's field, and its value."""
        found = {name: getattr(self, name) for name in ("action", "severity", "title", "expires")}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def mark(self) -> str:
        """16 hex digits over what it sets."""
        return hashlib.sha256(json.dumps(self.changes, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def as_json(self) -> str:
        """What the far side is given of it, for `of_json`."""
        plain = {"key": self.key, "type": self.type, "value": self.value, **self.changes}
        return json.dumps(plain, default=datetime.isoformat)

    @classmethod
    def of_json(cls, text: str) -> Self:
        """What `as_json` wrote."""
        plain = json.loads(text)
        if "expires" in plain:
            plain["expires"] = datetime.fromisoformat(plain["expires"])
        return cls(**plain)


_FIELDS = [each.name for each in fields(Override)]


def in_force(control: Control, output: str, now: datetime) -> list[Override]:
    """An output's overrides that have not ended, by key."""
    query = select(OVERRIDES).where(_C.output == output, or_(_C.until.is_(None), _C.until > now)).order_by(_C.key)
    with control.reading() as con:
        return [_override(row) for row in con.execute(query).mappings()]


def one(control: Control, output: str, key: str) -> Override | None:
    """The override of one indicator of an output, ended or not."""
    with control.reading() as con:
        row = con.execute(select(OVERRIDES).where(_C.output == output, _C.key == key)).mappings().first()
    return _override(row) if row else None


def listed(
    control: Control, outputs: Sequence[str], limit: int, *, text: str = "", after: tuple[str, str] | None = None
) -> list[tuple[str, Override]]:
    """(output, override), in the order of output and key.

    Args:
        control: where they are.
        outputs: whose.
        limit: how many at most.
        text: a part of the value, the reason or who set it.
        after: output and key of the last one of the page before.
    """
    where: list[ColumnElement[bool]] = [_C.output.in_(outputs)]
    if text:
        where.append(or_(*(column.icontains(text, autoescape=True) for column in (_C.value, _C.reason, _C.actor))))
    if after is not None:
        where.append((_C.output > after[0]) | ((_C.output == after[0]) & (_C.key > after[1])))
    query = select(OVERRIDES).where(*where).order_by(_C.output, _C.key).limit(limit)
    with control.reading() as con:
        return [(row["output"], _override(row)) for row in con.execute(query).mappings()]


def put(con: Connection, output: str, override: Override) -> None:
    """Set an override, in place of one of the same indicator."""
    drop(con, output, override.key)
    con.execute(insert(OVERRIDES).values(output=output, **{name: getattr(override, name) for name in _FIELDS}))


def drop(con: Connection, output: str, key: str) -> None:
    """Take an override away."""
    con.execute(delete(OVERRIDES).where(_C.output == output, _C.key == key))


def forget_output(con: Connection, output: str) -> None:
    """Take every override of an output away."""
    con.execute(delete(OVERRIDES).where(_C.output == output))


def ended(control: Control, now: datetime) -> list[tuple[str, Override]]:
    """(output, override) of those that have ended by themselves."""
    with control.reading() as con:
        rows = con.execute(select(OVERRIDES).where(_C.until <= now)).mappings()
        return [(row["output"], _override(row)) for row in rows]


def _override(row: RowMapping) -> Override:
    return Override(**{name: row[name] for name in _FIELDS})
