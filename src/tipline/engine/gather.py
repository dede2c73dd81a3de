"""Gathers what sources claim for an evaluation: all of it, or a slice; with what warning lists say of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tipline.engine.leaves import Leaves
from tipline.engine.temporaries import Temporaries
from tipline.engine.warnings import marked
from tipline.processors.warningsql import NARROW

_IN_SLICE = "key IN (SELECT key FROM slice)"
# Claims of a source, up to so many, are named by their places: its table is then not searched again.
_FEW = 1000


@dataclass(frozen=True)
class Leaf:
    """A source's claims as far as they are looked at.

    Attributes:
        relation: where they are, with `dropped` where one is left out.
        rows: how many.
        dropped: how many are left out.
        unique: whether each key stands once.
        number: which part of the slice they are; None if all claims are looked at.
    """

    relation: str
    rows: int
    dropped: int
    unique: bool
    number: int | None = None


@dataclass(frozen=True)
class _Marks:
    """What warning lists say of claims: a table (key, marks, refused), and whether they drop any."""

    table: str
    drops: bool

    def put(self, rows: str, where: str = "TRUE") -> str:
        """SQL: rows of claims (`r`) with these marks, where a condition holds."""
        both = "list_sort(list_distinct(list_concat(coalesce(tags, []), marks)))"
        tags = f"CASE WHEN marks IS NULL THEN tags ELSE {both} END"
        return (
            f"SELECT r.* REPLACE ({tags} AS tags, coalesce(dropped, refused) AS dropped)"
            f" FROM ({rows}) r LEFT JOIN {self.table} m ON m.key = r.key AND {where}"
        )


class Gatherer:
    """The claims of all sources, each gathered once.

    Args:
        temporaries: of the evaluation.
        leaves: how claims become rows.
        sliced: whether claims are cut to the keys of the temporary table `slice`. Such a slice is cut once for all its
            readers; otherwise claims are read where they lie rather than copied.
    """

    def __init__(self, temporaries: Temporaries, leaves: Leaves, *, sliced: bool) -> None:
        self._temporaries = temporaries
        self._con = temporaries.con
        self._leaves = leaves
        self._graph = leaves.graph
        self._sliced = sliced
        self._found: dict[str, Leaf] | None = None
        self._slices = ""
        self._marks: dict[str, _Marks | None] = {}

    def leaf(self, name: str) -> Leaf | None:
        """A source's claims; None if there are none."""
        found = self._there().get(name)
        return found if found is None or self._sliced else self._marked(name, found)

    def parts(self, numbers: Iterable[int]) -> str:
        """SQL: some parts of the slice together."""
        return f"(SELECT * EXCLUDE leaf FROM {self._slices} WHERE leaf IN ({', '.join(map(str, numbers))}))"

    def prepare(self, names: Iterable[str]) -> None:
        """Look up in the warning lists what some sources claim: all at once, as each look costs its own."""
        wanted = [name for name in names if name not in self._marks]
        if self._sliced or not wanted:
            return
        allowing = self._graph.configuration.allow_lists
        there = [name for name in wanted if name in self._there() and name not in allowing]
        every = " UNION ALL ".join(self._leaves.narrow(name, NARROW) for name in there)
        self._marks |= dict.fromkeys(wanted, self._said(f"({every})") if there else None)

    def _there(self) -> dict[str, Leaf]:
        if self._found is None:
            self._found = self._slice() if self._sliced else self._whole()
        return self._found

    def _whole(self) -> dict[str, Leaf]:
        """The sources that have a claim at all, found in one statement."""
        names = list(self._graph.sources)
        every = " UNION ALL ".join(
            self._leaves.narrow(name, f"{n} AS n, record, {self._leaves.reason(name)} AS dropped")
            for n, name in enumerate(names)
        )
        # A claim is one a (key, record): without records, one a key.
        facts = "count(*), count(dropped), NOT bool_or(record <> '')"
        found = self._con.execute(f"SELECT n, {facts} FROM ({every}) GROUP BY n").fetchall()
        return {names[n]: Leaf(self._leaves.rows(names[n]), *counts) for n, *counts in found}

    def _marked(self, name: str, leaf: Leaf) -> Leaf:
        """A source's claims where they lie, with what warning lists say of them."""
        self.prepare([name])
        marks = self._marks[name]
        if marks is None:
            return replace(leaf, relation=self._temporaries.view(leaf.relation))
        view = self._temporaries.view(marks.put(leaf.relation))
        if not marks.drops:
            return replace(leaf, relation=view)
        ((dropped,),) = self._con.execute(f"SELECT count(dropped) FROM {view}").fetchall()
        return replace(leaf, relation=view, dropped=dropped)

    def _slice(self) -> dict[str, Leaf]:
        """The sources that have a claim in the slice, with all these in one table: each has a part of it."""
        names = list(self._graph.sources)
        every = " UNION ALL ".join(
            self._leaves.narrow(name, f"{n} AS n, rowid AS place, key") for n, name in enumerate(names)
        )
        facts = f"CASE WHEN count(*) <= {_FEW} THEN list(place) END, count(*) = count(DISTINCT key)"
        found = self._con.execute(f"SELECT n, {facts} FROM ({every}) WHERE {_IN_SLICE} GROUP BY n").fetchall()
        if not found:
            return {}
        tests = {
            n: _IN_SLICE if places is None else f"rowid IN ({', '.join(map(str, places))})" for n, places, _ in found
        }
        parts = [f"SELECT {n} AS leaf, * FROM ({self._leaves.rows(names[n], test)})" for n, test in tests.items()]
        self._slices = self._temporaries.table(" UNION ALL ".join(parts))
        self._mark_slices([n for n in tests if names[n] not in self._graph.configuration.allow_lists])
        rows = self._con.execute(f"SELECT leaf, count(*), count(dropped) FROM {self._slices} GROUP BY leaf").fetchall()
        unique = {n: once for n, _, once in found}
        return {names[n]: Leaf(self.parts([n]), number, dropped, unique[n], n) for n, number, dropped in rows}

    def _mark_slices(self, numbers: list[int]) -> None:
        feeds = ", ".join(map(str, numbers))
        marks = self._said(f"(SELECT {NARROW} FROM {self._slices} WHERE leaf IN ({feeds}))") if feeds else None
        if marks is not None:
            self._slices = self._temporaries.table(marks.put(f"FROM {self._slices}", f"r.leaf IN ({feeds})"))

    def _said(self, claims: str) -> _Marks | None:
        """What warning lists say of claims; None if nothing."""
        query = marked(self._con, self._graph, claims)
        if query is None:
            return None
        table = self._temporaries.table(query)
        ((rows, drops),) = self._con.execute(f"SELECT count(*), count(refused) FROM {table}").fetchall()
        return _Marks(table, drops > 0) if rows else None
