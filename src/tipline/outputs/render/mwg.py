r"""McAfee (Skyhigh) Web Gateway: a first line with the type, then a value and its sources in quotes.

A quote is written `\"`. A value in which a backslash stands before a quote or at its end would end its string
at another place; it is left out, unless compat=minemeld asks for MineMeld's bytes.
"""

from __future__ import annotations

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import BIDI, CONTROL
from tipline.outputs.render.plain import text
from tipline.outputs.render.spec import ADDRESSES, Context, Spec


def frame(dialect: Dialect, _: Context) -> Layout:
    """The line that names the type of the list."""
    return Layout(f"type={dialect.option('t', 'string')}\n".encode(), b"")


def line(dialect: Dialect, type_: str) -> str:
    """SQL: the line of a row; null if its value would break it."""
    refused = f"[{CONTROL}]" if dialect.compat else rf"[{CONTROL}]|\\(\x22|$)"
    sources = f"regexp_replace(array_to_string(sources, ','), '[{CONTROL}{BIDI}\\x22\\\\]', ' ', 'g')"
    value = f"replace({text(dialect, type_)}, '\"', '\\\"')"
    record = f"concat('\"', {value}, '\" \"', coalesce({sources}, 'from minemeld'), '\"', chr(10))"
    return f"CASE WHEN NOT regexp_matches(value, '{refused}') THEN {record} END"


def _types(dialect: Dialect) -> tuple[str, ...] | None:
    return ADDRESSES if dialect.option("t") == "ip" and not dialect.compat else None


SPEC = Spec(
    "McAfee (Skyhigh) Web Gateway, a subscribed list",
    line,
    _types,
    frame,
    shows=("sources",),
    limits="`t=` (usual: string) names the type of the list; with `t=ip` addresses only, as CIDRs",
)
