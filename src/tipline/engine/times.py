"""Time is an input: the engine's clock, and moments as SQL literals (naive UTC everywhere)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Now, in UTC without a zone, as the store keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)


def literal(moment: datetime) -> str:
    """A moment as a SQL literal."""
    return f"TIMESTAMP '{moment.isoformat(sep=' ', timespec='microseconds')}'"


def iso(moment: datetime | None) -> str | None:
    """A moment for JSON: ISO 8601 in UTC."""
    return None if moment is None else moment.isoformat(timespec="seconds") + "Z"
