"""What the dialects share: raw rows of lines, each with its value or the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from tipline.formats.base import BAD_ROW, TEXT_LIMIT

#: Lines as they stand in a file (column `line`) to raw rows; called block after block, in order.
Reader = Callable[[pl.DataFrame], pl.DataFrame]

ALLOWED = "allow-entry"
RULE = "list-rule"
REDIRECTED = "redirected"

#: Addresses that stand for "nowhere" in lists of names.
SINK = r"^(?:0\.0\.0\.0|0|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::|::1|::0|(?:0{1,4}:){7}0{0,3}[01]|::ffff:0\.0\.0\.0)$"
ADDRESS = r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.%\w]*)$"
LINE = pl.col("line")


def trimmed(lines: pl.DataFrame, *comments: str) -> pl.DataFrame:
    """Lines without white space around them; blank ones and those that begin with a comment's mark are gone."""
    keep = LINE != ""
    for mark in comments:
        keep &= ~LINE.str.starts_with(mark)
    return lines.select(LINE.str.strip_chars("\ufeff").str.strip_chars()).filter(keep)


def reason(*cases: tuple[pl.Expr, str]) -> pl.Expr:
    """The reason of the first case that holds; null if none does."""
    found = pl.lit(None, dtype=pl.String)
    for test, word in reversed(cases):
        found = pl.when(test).then(pl.lit(word)).otherwise(found)
    return found


def raw(lines: pl.DataFrame, value: pl.Expr, drop: pl.Expr, **columns: pl.Expr) -> pl.DataFrame:
    """Raw rows: the value where there is no reason to drop it, else the line's text.

    Args:
        lines: a row for each indicator, with its `line`.
        value: where it is null or empty without a reason, the line cannot be read.
        drop: reason code, or null.
        columns: of the raw frame.
    """
    frame = lines.select(LINE, value.alias("value"), drop.alias("drop"), **columns)
    empty = pl.col("value").is_null() | (pl.col("value") == "")
    why = pl.coalesce("drop", pl.when(empty).then(pl.lit(BAD_ROW)))
    frame = frame.with_columns(why.alias("drop"))
    text = pl.when(pl.col("drop").is_null()).then("value").otherwise(LINE.str.slice(0, TEXT_LIMIT))
    done = frame.with_columns(text.alias("value")).drop("line")
    return done if done["drop"].null_count() < done.height else done.drop("drop")


def not_meant(target: pl.Expr, *, redirects: bool) -> pl.Expr:
    """Whether a name that is answered with a target is not what the list calls bad."""
    return pl.lit(value=False) if redirects else ~target.str.contains(SINK)
