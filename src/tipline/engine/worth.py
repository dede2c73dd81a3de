"""What a feed is worth: how old and how lively it is, what it has first and by how much, and what of it is harmless."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import func, select

from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.times import iso
from tipline.engine.visible import claims_seen
from tipline.engine.warned import Counts, counts
from tipline.processors.allowsql import blocked
from tipline.store.control import RUNS

CHURN_DAYS = 30  # over which is counted what came and went
_MOST = 8  # states that are remembered for each engine
_SECONDS = 86400.0
_BY = "allowed by "
_NARROW = "key, type, value, lo, up, rhost"
Cache = dict[tuple[Any, ...], dict[str, dict[str, Any]]]
_CACHES: WeakKeyDictionary[Engine, Cache] = WeakKeyDictionary()
_LOCK = threading.Lock()


def worth(engine: Engine, asker: Asker, sources: list[str], lists: list[str]) -> list[dict[str, Any]]:
    """What is to know of each source beside its overlap, as far as the asker sees it.

    Args:
        engine: the engine.
        asker: who asks.
        sources: names of sources that they see.
        lists: names of sources of what is harmless (allow-lists, what is never blocked) that they see.

    Returns:
        For each source: source, indicators, median_age (days since an indicator came), newest and oldest (when one
        came), first (of what several have: how often this one had it first), lead (median days before the next one),
        harmless (indicators that a list names or covers) with lists (by the list's name); warned (indicators on
        warning lists in use) with warning_lists (by the list's name); and churn: added and removed in CHURN_DAYS, and
        daily (the share of what is held that changes in a day). Age, lead and churn are None where they are not known,
        churn also of sources that are not the asker's.
    """
    relations = {name: claims_seen(engine.graph, name, asker) for name in [*sources, *lists]}
    with engine.lake.reading() as con:
        commits = dict(con.execute("SELECT source, commit_no FROM source_state").fetchall())
        state = tuple((each, name, commits.get(engine.graph.ids[name])) for name, each in relations.items())
        with _LOCK:
            cache = _CACHES.setdefault(engine, {})
            held = cache.get(state)
        if held is None:
            held = _held(con, relations, sources, lists)
            with _LOCK:
                if len(cache) >= _MOST:
                    cache.pop(next(iter(cache)))
                cache[state] = held
    churn = _churn(engine, [name for name in sources if asker.owns(engine.graph.sources[name].settings)])
    at, warned = engine.clock(), counts(engine, asker)
    return [{**_told(name, held[name], churn.get(name), at), **_warned(name, warned)} for name in sources]


def _warned(name: str, found: Counts) -> dict[str, Any]:
    lists = {word: by_source[name] for word, by_source in found.by_source.items() if name in by_source}
    return {"warned": found.sources.get(name, 0), "warning_lists": lists}


def _held(con: Any, relations: dict[str, str], sources: list[str], lists: list[str]) -> dict[str, dict[str, Any]]:
    nothing = {"indicators": 0, "median": None, "newest": None, "oldest": None, "first": 0, "lead": None}
    found: dict[str, dict[str, Any]] = {name: {**nothing, "lists": {}} for name in sources}
    if not sources:
        return found

    def every(columns: str) -> str:
        parts = (f"SELECT {n} AS n, {columns} FROM {relations[name]}" for n, name in enumerate(sources))
        return f"({' UNION ALL '.join(parts)})"

    ages = "count(DISTINCT key), epoch(median(added)), max(added), min(added)"
    rows = con.execute(f"SELECT n, {ages} FROM {every('key, added')} GROUP BY n").fetchall()
    for n, *values in rows:
        found[sources[n]].update(zip(("indicators", "median", "newest", "oldest"), values, strict=True))
    for n, reason, count in _harmless(con, every, [(each, relations[each]) for each in lists]):
        by = reason.removeprefix(_BY).partition(":")[0]
        counts = found[sources[n]]["lists"]
        counts[by] = counts.get(by, 0) + count
    for number, first, lead in _firsts(con, [relations[name] for name in sources]):
        found[sources[number]].update(first=first, lead=lead)
    return found


def _harmless(con: Any, every: Callable[[str], str], lists: list[tuple[str, str]]) -> list[tuple[int, str, int]]:
    """(source's number, reason, indicators) of what is on lists; all sources are judged at once."""
    if not lists:
        return []
    entries = " UNION ALL ".join(f"SELECT {_NARROW}, ['{name}'] AS sources FROM {each}" for name, each in lists)
    con.execute(f"CREATE OR REPLACE TEMP TABLE on_lists AS {entries}")
    found = f"{every('key')} JOIN ({blocked(every(_NARROW), 'on_lists')}) USING (key)"
    rows = con.execute(f"SELECT n, reason, count(DISTINCT key) FROM {found} GROUP BY n, reason").fetchall()
    return [(int(n), str(reason), int(count)) for n, reason, count in rows]


def _firsts(con: Any, relations: list[str]) -> list[tuple[int, int, float]]:
    """(source's number, how often it was first, median days before the next) of what several have."""
    if len(relations) < 2:
        return []
    union = " UNION ALL ".join(
        f"SELECT key, {number} AS s, min(added) AS added FROM {each} GROUP BY key"
        for number, each in enumerate(relations)
    )
    rows = con.execute(
        f"SELECT s, count(*), median(lead) FROM (SELECT arg_min(s, (added, s)) AS s,"
        f" (epoch(min(added, 2)[2]) - epoch(min(added))) / {_SECONDS} AS lead"
        f" FROM ({union}) GROUP BY key HAVING count(*) > 1) GROUP BY s"
    ).fetchall()
    return [(int(number), int(count), float(lead)) for number, count, lead in rows]


def _churn(engine: Engine, names: list[str]) -> dict[str, tuple[int, int, float]]:
    """(added, removed, days that were looked at) of sources since their first fill, by name."""
    now = engine.clock()
    since = now - timedelta(days=CHURN_DAYS)
    runs = select(RUNS.c.node, func.sum(RUNS.c.added), func.sum(RUNS.c.removed), func.min(RUNS.c.started)).where(
        RUNS.c.node.in_(names), RUNS.c.started >= since, RUNS.c.id.not_in(_first_runs(names))
    )
    with engine.control.reading() as con:
        rows = con.execute(runs.group_by(RUNS.c.node)).fetchall()
    return {
        name: (int(added), int(removed), max((now - start).total_seconds() / _SECONDS, 1.0))
        for name, added, removed, start in rows
    }


def _first_runs(names: list[str]) -> Any:
    """The runs that filled sources: what came with them says nothing of how lively a source is."""
    filled = select(func.min(RUNS.c.id)).where(RUNS.c.node.in_(names), RUNS.c.added > 0)
    return filled.group_by(RUNS.c.node)


def _told(name: str, held: dict[str, Any], churn: tuple[int, int, float] | None, at: Any) -> dict[str, Any]:
    size, median = held["indicators"], held["median"]
    epoch = (at - at.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    added, removed, days = churn or (0, 0, 0.0)
    return {
        "source": name,
        "indicators": size,
        "median_age": None if median is None else max(0.0, (epoch - median) / _SECONDS),
        "newest": held["newest"] and iso(held["newest"]),
        "oldest": held["oldest"] and iso(held["oldest"]),
        "first": held["first"],
        "lead": held["lead"],
        "harmless": sum(held["lists"].values()),
        "lists": held["lists"],
        "churn": None
        if churn is None
        else {"added": added, "removed": removed, "daily": (added + removed) / 2 / size / days if size else None},
    }
