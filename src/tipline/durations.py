"""Durations as people write them: `90s`, `15m`, `1h`, `30d`, `2w`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FORM = re.compile(r"\s*(\d+)\s*([smhdw])\s*", re.IGNORECASE)


def parse_duration(text: Any) -> timedelta:
    """`30d` and the like as a timedelta.

    Raises:
        ValueError: the text is not a number followed by s, m, h, d or w.
    """
    if isinstance(text, timedelta):
        return text
    match = _FORM.fullmatch(str(text))
    if not match:
        raise ValueError(f"{text!r} is not a duration; write a number and a unit, such as 90s, 15m, 1h, 30d or 2w")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2].lower()])


def format_duration(value: timedelta) -> str:
    """A timedelta in the largest unit that divides it."""
    seconds = int(value.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str),
]
