"""What a rule says about one value, and how rules run over a frame.

A *normaliser* takes a frame with the columns `row` (UInt32) and `text` (String, never null) and returns one
row for each of its rows, in any order, with the columns of `VERDICT_SCHEMA`. Common shapes are handled by
expressions over the whole frame; the rest goes through `each`, a Python rule called once per distinct text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import polars as pl

from tipline.model.policy import Policy


class Verdict(NamedTuple):
    """What became of one value: accepted if `drop` is None.

    Attributes:
        type: canonical type, or None if it could not be told.
        value: canonical value; None when dropped.
        lo: first address as 32 hex digits; see `addresses`.
        up: end (exclusive) as 32 hex digits.
        rhost: host reversed, with trailing dot; see `hosts`.
        extra: JSON object of what the canonical form leaves out (a port, an assumed scheme).
        drop: reason code of `DROP_REASONS`.
    """

    type: str | None
    value: str | None = None
    lo: str | None = None
    up: str | None = None
    rhost: str | None = None
    extra: str | None = None
    drop: str | None = None


VERDICT_SCHEMA = pl.Schema({"row": pl.UInt32(), **{name: pl.String() for name in Verdict._fields}})

Rule = Callable[[str, Policy], Verdict]
Normaliser = Callable[[pl.DataFrame, Policy], pl.DataFrame]


def refuse(kind: str | None, reason: str) -> Verdict:
    """A verdict that drops the value."""
    return Verdict(kind, drop=reason)


def complete(frame: pl.DataFrame, **constants: str | None) -> pl.DataFrame:
    """Fill the verdict columns that a fast path did not make, and put them in order.

    Args:
        frame: `row` and some verdict columns.
        constants: value of a whole column, by name.
    """
    known = {**dict.fromkeys(VERDICT_SCHEMA.names()), **constants}
    lits = [
        pl.lit(known[name], dtype=pl.String).alias(name) for name in VERDICT_SCHEMA.names() if name not in frame.columns
    ]
    return frame.with_columns(lits).select(VERDICT_SCHEMA.names())


def each(frame: pl.DataFrame, rule: Rule, policy: Policy) -> pl.DataFrame:
    """Apply a Python rule to `text`, once per distinct text."""
    texts = frame["text"].unique()
    verdicts = [(text, *rule(text, policy)) for text in texts]
    schema = {"text": pl.String(), **{name: pl.String() for name in Verdict._fields}}
    table = pl.DataFrame(verdicts, schema=schema, orient="row")
    return frame.join(table, on="text", how="left", maintain_order="left").select(VERDICT_SCHEMA.names())


def by_part(parts: Iterable[tuple[pl.DataFrame, Normaliser]], policy: Policy) -> pl.DataFrame:
    """Apply to each part of a frame its normaliser; parts without rows cost nothing."""
    verdicts = [normalise(part, policy) for part, normalise in parts if len(part)]
    return pl.concat(verdicts) if verdicts else VERDICT_SCHEMA.to_frame()


def by_rule(rule: Rule) -> Normaliser:
    """Normaliser that asks a rule for each distinct text."""

    def normalise(frame: pl.DataFrame, policy: Policy) -> pl.DataFrame:
        return each(frame, rule, policy)

    return normalise
