"""Plain lists: one value a line. An empty list is an empty body (MineMeld sent one line feed)."""

from __future__ import annotations

from tipline.outputs.render.addresses import first_to_last
from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.spec import ADDRESSES, Context, Spec, one_line


def frame(dialect: Dialect, _: Context) -> Layout:
    """Nothing around the lines."""
    return Layout(b"", b"", empty=b"\n" if dialect.compat and not dialect.merged else None)


def line(dialect: Dialect, type_: str) -> str:
    """SQL: the line of a row; null if its value would break it."""
    return one_line(f"{text(dialect, type_)} || chr(10)")


def text(dialect: Dialect, type_: str) -> str:
    """SQL: the value as it is written; MineMeld's aggregators wrote IPv4 as `first-last`, its sums `/32`."""
    if dialect.merged:
        length = 32 if type_ == "ipv4" else 128
        return f"CASE WHEN contains(value, '/') THEN value ELSE value || '/{length}' END"
    if dialect.compat and not dialect.cidrs and type_ == "ipv4":
        return first_to_last()
    return "value"


def _types(dialect: Dialect) -> tuple[str, ...] | None:
    return ADDRESSES if dialect.merged else None


SPEC = Spec("anything that reads lines", line, _types, frame, limits="none; `sum=1` carries addresses only")
