"""When a claim leaves: `never`, `left + 30d`, `added + 90d`, `last_seen + 7d`, or several (the earliest wins)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tipline.durations import format_duration, parse_duration

_RULE = re.compile(r"(left|added|last_seen)\s*(?:\+\s*(\S+))?", re.IGNORECASE)
# The column (or columns, first that is set) that each base counts from. A snapshot's claim that is still in the
# feed has not left, so `left_at` is null and the rule does not fire; an append source counts from its last delivery.
BASES = {
    "left": ("left_at",),
    "added": ("added",),
    "last_seen": ("last_seen", "left_at", "refreshed"),
}


@dataclass(frozen=True)
class Expiry:
    """One rule: a base and the time after it."""

    base: str
    after: timedelta

    def moment_sql(self) -> str:
        """The moment at which the rule fires, as SQL over a claims table (null: it does not)."""
        columns = ", ".join(BASES[self.base])
        return f"(coalesce({columns}) + INTERVAL {int(self.after.total_seconds())} SECONDS)"


def parse_expire(value: Any) -> list[str]:
    """Check and normalise a setting into a list of rules; `never` is an empty list.

    Raises:
        ValueError: a rule is not understood.
    """
    rules = value if isinstance(value, list) else [value]
    if rules in ([], ["never"]):
        return []
    return [_text(_parse(str(rule))) for rule in rules]


def expiries(rules: list[str]) -> list[Expiry]:
    """The rules of a checked setting."""
    return [_parse(rule) for rule in rules]


def _parse(rule: str) -> Expiry:
    match = _RULE.fullmatch(rule.strip())
    if not match:
        raise ValueError(f"{rule!r} is no expiry; write never, left + 30d, added + 90d or last_seen + 7d")
    after = match[2] or "0s"
    return Expiry(match[1].lower(), timedelta() if after == "0" else parse_duration(after))


def _text(expiry: Expiry) -> str:
    return f"{expiry.base} + {format_duration(expiry.after)}"
