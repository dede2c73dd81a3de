"""Counts of what is found, by type, source, TLP and tag; a source is counted once for each state of it."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import duckdb

from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.filters import Matching, Search, matching, tlp_of
from tipline.model.tlp import NAMES

_TOP = 20  # tags that are told
_MOST_TAGS = 2_000  # of a source whose counts are kept
_MOST_KEPT = 200_000  # numbers of all counts that are kept


@dataclass
class _Counts:
    """How many claims of one source fulfil filters."""

    types: Counter[str] = field(default_factory=Counter)
    tlp: Counter[int] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)

    @property
    def size(self) -> int:
        return 1 + len(self.types) + len(self.tlp) + len(self.tags)


class _Kept:
    """Counts as they were at some state of a source; those that were not asked for lately are forgotten."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Hashable, tuple[Hashable, _Counts]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, what: Hashable, state: Hashable) -> _Counts | None:
        with self._lock:
            then, counts = self._counts.get(what, (None, None))
            if counts is None or then != state:
                return None
            self._counts.move_to_end(what)
            return counts

    def put(self, what: Hashable, state: Hashable, counts: _Counts) -> None:
        if len(counts.tags) > _MOST_TAGS:
            return
        with self._lock:
            if what in self._counts:
                self._size -= self._counts.pop(what)[1].size
            self._counts[what] = (state, counts)
            self._size += counts.size
            while self._size > _MOST_KEPT:
                self._size -= self._counts.popitem(last=False)[1][1].size


_KEPT: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()


def facets(engine: Engine, asker: Asker, wanted: Search) -> dict[str, Any]:
    """How many claims fulfil the filters: in all, and by type, source, TLP and tag (the most frequent ones)."""
    with engine.lake.reading() as con:
        counts = _counts(con, engine, matching(con, engine, asker, wanted), wanted)
    sources = {name: each.types.total() for name, each in counts.items()}
    types: Counter[str] = Counter()
    levels: Counter[int] = Counter()
    tags: Counter[str] = Counter()
    for each in counts.values():
        types += each.types
        levels += each.tlp
        tags += each.tags
    return {
        "claims": types.total(),
        "types": _ordered(types),
        "sources": _ordered(Counter({name: number for name, number in sources.items() if number})),
        "tlp": _ordered(Counter({NAMES[level]: number for level, number in levels.items()})),
        "tags": dict(list(_ordered(tags).items())[:_TOP]),
    }


def _ordered(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _counts(con: duckdb.DuckDBPyConnection, engine: Engine, found: Matching, wanted: Search) -> dict[str, _Counts]:
    """The counts of each source; only those are counted that have changed since they were."""
    kept = _KEPT.setdefault(engine, _Kept())
    ids, states = engine.graph.ids, dict(con.execute("SELECT source, commit_no FROM source_state").fetchall())
    output = None
    if wanted.output in engine.graph.outputs:
        query = "SELECT seq, as_of FROM output_state WHERE output = ?"
        output = con.execute(query, [ids[str(wanted.output)]]).fetchone()
    counts, missing = {}, {}
    for name, part in found.parts.items():
        what, state = (part, found.keys, tlp_of(engine, name)), (states.get(ids[name]), output)
        known = None if found.temporary else kept.get(what, state)
        if known is None:
            missing[name] = (what, state)
        else:
            counts[name] = known
    for name, made in _counted(con, engine, found, wanted, missing).items():
        counts[name] = made
        if not found.temporary:
            kept.put(*missing[name], made)
    return {name: counts[name] for name in found.parts}


def _counted(
    con: duckdb.DuckDBPyConnection, engine: Engine, found: Matching, wanted: Search, sources: Iterable[str]
) -> dict[str, _Counts]:
    names = list(sources)
    made = {name: _Counts() for name in names}
    if not names:
        return made
    columns = "" if found.keys is None else "key, "
    every = found.union(
        {each: f"{columns}{n} AS n, type, {tlp_of(engine, each)} AS tlp, tags" for n, each in enumerate(names)}
    )
    if wanted.text or found.keys is not None:
        # What takes long to find is found once; all there is is read where it lies.
        con.execute(f"CREATE OR REPLACE TEMP TABLE found_claims AS SELECT n, type, tlp, tags FROM ({every})")
        every = "FROM found_claims"
    for n, type_, tlp, number in con.execute(f"SELECT n, type, tlp, count(*) FROM ({every}) GROUP BY ALL").fetchall():
        made[names[n]].types[type_] += number
        made[names[n]].tlp[tlp] += number
    tags = f"SELECT n, unnest(tags) AS tag FROM ({every}) WHERE len(tags) > 0"
    for n, tag, number in con.execute(f"SELECT n, tag, count(*) FROM ({tags}) GROUP BY ALL").fetchall():
        made[names[n]].tags[tag] += number
    return made
