"""The merge of claims on one indicator: what `aggregate` does, and what every output does to what it takes.

Order never matters: sources and lists are unions, times and confidence are extremes, and the description is that
of the most confident claim, ties settled by the source's name.
"""

from __future__ import annotations

from typing import Literal

from tipline.processors.rangesql import MERGE
from tipline.store.schema import INDICATOR, VIEW

Confidence = Literal["max", "mean", "noisy-or"]

_CONFIDENCE: dict[str, str] = {
    "max": MERGE["confidence"],
    "mean": "round(avg(confidence))::UTINYINT",
    "noisy-or": "least(100, round(100 * (1 - product(1 - confidence / 100.0))))::UTINYINT",
}


def merged(relation: str, confidence: Confidence | str = "max") -> str:
    """SQL: one row per key out of `relation` (view columns, nothing dropped).

    Keys that stand once, nearly all, pass by untouched; only the others are grouped.
    """
    if confidence not in _CONFIDENCE:
        raise KeyError(confidence)
    columns = ", ".join(VIEW)
    grouped = ", ".join(f"{sql} AS {name}" for name, sql in _aggregates(confidence).items())
    return (
        f"WITH every AS (SELECT {columns} FROM {relation}),"
        " several AS MATERIALIZED (SELECT key FROM every GROUP BY key HAVING count(*) > 1)"
        f" SELECT {columns} FROM every WHERE NOT EXISTS (FROM several s WHERE s.key = every.key)"
        f" UNION ALL BY NAME SELECT {grouped} FROM every SEMI JOIN several USING (key) GROUP BY key"
    )


def _aggregates(confidence: str) -> dict[str, str]:
    same = {name: f"any_value({name})" for name in INDICATOR if name != "key"}
    return {"key": "key", **same, **MERGE, "confidence": _CONFIDENCE[confidence]}
