"""Data of the charts that pages draw (`static/charts.js`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tipline.engine.trends import DeliveryTrend, Trend


def line(label: str, color: str, values: Sequence[int]) -> dict[str, Any]:
    """One series, with words for those who cannot see it."""
    return {"label": label, "color": color, "values": list(values), "summary": f"{abs(sum(values)):,}"}


def flow(trend: Trend) -> dict[str, Any]:
    """What came and went: additions above the axis, removals below."""
    return {
        "at": trend.at,
        "form": "bars",
        "series": [line("added", "added", trend.added), line("removed", "removed", [-each for each in trend.removed])],
    }


def delivered(trend: DeliveryTrend) -> dict[str, Any]:
    """What a far side accepted, above the axis, and what it deleted, below."""
    deleted = line("deleted", "removed", [-each for each in trend.deleted])
    return {"at": trend.at, "form": "bars", "series": [line("accepted", "added", trend.accepted), deleted]}


def refused(trend: DeliveryTrend) -> dict[str, Any]:
    """What far sides refused, or could not be asked."""
    return {"at": trend.at, "form": "bars", "series": [line("errors", "bad", trend.errors)]}


def held(trend: Trend, now: int) -> dict[str, Any]:
    """How many were held."""
    values = trend.held(now)
    series = {**line("held", "held", values), "summary": f"{now:,}"}
    return {"at": trend.at, "form": "line", "series": [series]}
