"""Plain lists: one value a line. An empty list is an empty body (MineMeld sent one line feed)."""

from __future__ import annotations

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import CONTROL


def frame(_: Dialect) -> Layout:
    """Nothing around the lines."""
    return Layout(b"", b"")


def line(_: Dialect, __: str) -> str:
    """SQL: the line of a row; null if its value would break it."""
    return f"CASE WHEN NOT regexp_matches(value, '[{CONTROL}]') THEN value || chr(10) END"
