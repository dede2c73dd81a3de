"""Times as the far side writes them: UTC, seven fractional digits, a trailing Z."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


def now_utc() -> datetime:
    """The machine's clock, aware and in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Fixed width text (`2026-01-02T03:04:05.1234560Z`); compares as text in the order of time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "0Z"


def trimmed(text: str) -> str:
    """A stamp without trailing zeros in its fraction, as Defender's answers show it."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{head}.{fraction}Z" if fraction else f"{head}Z"


def parse(value: object) -> datetime | None:
    """The moment an RFC 3339 text with a zone names, or None when it is not one."""
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
