"""How much sources and outputs gained and lost over time, from the accounts of their runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Integer, cast, func, select

from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.visible import owned
from tipline.store import delivery_counts
from tipline.store.control import RUNS

_BUCKETS = 48


@dataclass
class Trend:
    """Equal spans of time and what happened in each.

    Attributes:
        at: when each begins, in seconds since 1970 (UTC).
        added, removed, expired: indicators.
    """

    at: list[int]
    added: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)

    def held(self, now: int) -> list[int]:
        """How many were held at the end of each span, reckoned back from how many there are now."""
        found = [now]
        for added, removed in zip(reversed(self.added[1:]), reversed(self.removed[1:]), strict=True):
            found.append(max(0, found[-1] - added + removed))
        return found[::-1]


@dataclass
class DeliveryTrend:
    """Equal spans of time and what deliveries did in each; `at` as in `Trend`, the rest in indicators."""

    at: list[int]
    sent: list[int]
    accepted: list[int]
    errors: list[int]
    deleted: list[int]


def delivery_trend(engine: Engine, outputs: Sequence[str], span: timedelta) -> DeliveryTrend:
    """What deliveries of some outputs did within a span of time that ends now, in some fifty parts."""
    size = max(60 * delivery_counts.MINUTES, int(span.total_seconds()) // _BUCKETS)
    last = int(engine.clock().replace(tzinfo=UTC).timestamp()) // size
    first = last - max(1, int(span.total_seconds()) // size) + 1
    sums = {bucket: [0] * len(delivery_counts.NUMBERS) for bucket in range(first, last + 1)}
    since = datetime.fromtimestamp(first * size, UTC).replace(tzinfo=None)
    for at, numbers in delivery_counts.since(engine.control, outputs, since):
        part = sums.setdefault(min(int(at.replace(tzinfo=UTC).timestamp()) // size, last), [0] * len(numbers))
        part[:] = [before + more for before, more in zip(part, numbers, strict=True)]
    parts = [sums[bucket] for bucket in range(first, last + 1)]
    return DeliveryTrend([bucket * size for bucket in range(first, last + 1)], *map(list, zip(*parts, strict=True)))


def totals(engine: Engine, asker: Asker, nodes: Iterable[str], since: datetime) -> dict[str, int]:
    """How many indicators the asker's own nodes have added, removed and let expire since a moment."""
    theirs = sorted(set(nodes) & set(owned(engine.graph, asker)))
    expired = func.coalesce(func.json_extract(RUNS.c.dropped, "$.expired"), 0)
    query = select(func.sum(RUNS.c.added), func.sum(RUNS.c.removed), func.sum(expired))
    with engine.control.reading() as con:
        row = con.execute(query.where(RUNS.c.started >= since, RUNS.c.node.in_(theirs))).one()
    return {name: int(number or 0) for name, number in zip(("added", "removed", "expired"), row, strict=True)}


def trend(engine: Engine, asker: Asker, nodes: Iterable[str], span: timedelta, step: timedelta | None = None) -> Trend:
    """What the asker's own nodes gained and lost within a span of time that ends now.

    Nodes of others count nothing, though they may be seen: what is red there would be counted, too.

    Args:
        engine: whose.
        asker: who asks.
        nodes: their names.
        span: how far back.
        step: how long each part of it is, a minute at least; else it has some fifty.
    """
    wanted = int(span.total_seconds()) // _BUCKETS if step is None else int(step.total_seconds())
    size = max(60, wanted)
    last = int(engine.clock().replace(tzinfo=UTC).timestamp()) // size
    first = last - max(1, int(span.total_seconds()) // size) + 1
    made = Trend([bucket * size for bucket in range(first, last + 1)])
    bucket = (cast(func.strftime("%s", RUNS.c.started), Integer) // size).label("bucket")
    since = datetime.fromtimestamp(first * size, UTC).replace(tzinfo=None)
    expired = func.coalesce(func.json_extract(RUNS.c.dropped, "$.expired"), 0)
    theirs = sorted(set(nodes) & set(owned(engine.graph, asker)))
    query = (
        select(bucket, func.sum(RUNS.c.added), func.sum(RUNS.c.removed), func.sum(expired))
        .where(RUNS.c.started >= since, RUNS.c.node.in_(theirs))
        .group_by(bucket)
    )
    with engine.control.reading() as con:
        found = {int(row[0]): (int(row[1]), int(row[2]), int(row[3])) for row in con.execute(query)}
    for each in range(first, last + 1):
        added, removed, gone = found.get(each, (0, 0, 0))
        made.added.append(added)
        made.removed.append(removed)
        made.expired.append(gone)
    return made
