"""The merge of claims on one indicator: what `aggregate` does, and what every output does to what it takes.

Order never matters: sources and lists are unions, times and confidence are extremes, and the description is that
of the most confident claim, ties settled by the source's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tipline.processors.rangesql import MERGE
from tipline.store.schema import INDICATOR, VIEW

Confidence = Literal["max", "mean", "weighted", "noisy-or"]
RELIABILITY = 50  # of a source that is given none

_CONFIDENCE: dict[str, str] = {
    "max": MERGE["confidence"],
    "mean": "round(avg(confidence))::UTINYINT",
    # Whole numbers until the division, so that order never matters; sources that weigh nothing leave the best word.
    "weighted": "coalesce(round(sum(confidence::BIGINT * {weight}) / nullif(sum({weight}), 0)), max(confidence))"
    "::UTINYINT",
    "noisy-or": "least(100, round(100 * (1 - product(1 - confidence / 100.0))))::UTINYINT",
}


def merged(relation: str, confidence: Confidence = "max", reliability: Mapping[str, int] | None = None) -> str:
    """SQL: one row per key out of `relation` (view columns, nothing dropped).

    Keys that stand once, nearly all, pass by untouched; only the others are grouped.

    Args:
        relation: what to merge.
        confidence: how several become one.
        reliability: 0 to 100 by source, for `weighted`; `RELIABILITY` where a source is not in it.
    """
    columns = ", ".join(VIEW)
    grouped = ", ".join(f"{sql} AS {name}" for name, sql in _aggregates(confidence, reliability or {}).items())
    return (
        f"WITH every AS (SELECT {columns} FROM {relation}),"
        " several AS MATERIALIZED (SELECT key FROM every GROUP BY key HAVING count(*) > 1)"
        f" SELECT {columns} FROM every WHERE NOT EXISTS (FROM several s WHERE s.key = every.key)"
        f" UNION ALL BY NAME SELECT {grouped} FROM every SEMI JOIN several USING (key) GROUP BY key"
    )


def _aggregates(confidence: Confidence, reliability: Mapping[str, int]) -> dict[str, str]:
    same = {name: f"any_value({name})" for name in INDICATOR if name != "key"}
    return {"key": "key", **same, **MERGE, "confidence": _CONFIDENCE[confidence].format(weight=_weight(reliability))}


def _weight(reliability: Mapping[str, int]) -> str:
    """A row's weight: that of the most reliable of its sources."""
    if not reliability:
        return f"{RELIABILITY}"
    known = ", ".join(f"'{name}': {worth}" for name, worth in sorted(reliability.items()))
    return f"list_max(list_transform(sources, lambda s: coalesce(MAP {{{known}}}[s], {RELIABILITY})))"
