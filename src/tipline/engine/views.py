"""Evaluates the views of one audience: leaves, processors and outputs, each node once, on a slice or in full."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

import duckdb

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.graph import Audience, Graph
from tipline.engine.leaves import Leaves
from tipline.engine.ledger import MAX_SAMPLES, Ledger
from tipline.engine.times import literal
from tipline.engine.warnings import marked
from tipline.processors.allowsql import Urls, allow, concerning
from tipline.processors.base import Query, union
from tipline.processors.expression import compile_filter
from tipline.processors.filter import filtered
from tipline.processors.merge import merged
from tipline.processors.warningsql import NARROW
from tipline.store.schema import VIEW, claims_table

_IN_SLICE = "key IN (SELECT key FROM slice)"
# Claims of a source, up to so many, are named by their places: its table is then not searched again.
_FEW = 1000


@dataclass(frozen=True)
class Relation:
    """A node's rows: `name` holds all with `dropped`, `live` those passed on; `leaf` is a source's part of a slice."""

    name: str
    live: str
    unique: bool
    leaf: int | None = None


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


@dataclass(frozen=True)
class _Leaf:
    """A source's claims as far as they are looked at: where, how many, how many left out, whether keys stand once."""

    relation: str
    rows: int
    dropped: int
    unique: bool
    number: int | None = None


class Views:
    """The views of one audience at one moment.

    Args:
        con: the evaluation's own connection (everything is in temporary tables).
        graph: the nodes.
        audience: whom the outputs are for.
        as_of: the moment.
        moments: each source's own clock (it stands still while the source fails or is held).
        sliced: whether leaves are cut to the keys of the temporary table `slice` (key, type, lo, up, rhost).
        asker: for whom: what they may not see is not even looked at, so that no time taken tells of it.
    """

    _numbers = count()

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        graph: Graph,
        audience: Audience,
        as_of: datetime,
        moments: dict[str, datetime],
        *,
        sliced: bool,
        asker: Asker = LOCAL,
    ) -> None:
        self.con = con
        self.graph = graph
        self.audience = audience
        self.as_of = as_of
        self.sliced = sliced
        self.ledgers: dict[str, Ledger] = {}
        self.steps: dict[str, list[str]] = {}
        self._done: dict[str, Relation] = {}
        self._made: list[tuple[str, str]] = []
        self._counts: dict[str, int] = {}
        self._leaves = Leaves(graph, audience, as_of, moments, asker)
        self._facts: dict[str, _Leaf] | None = None
        self._networks: set[str] = set()
        self._slices = ""
        self._marks: dict[str, _Marks | None] = {}

    def node(self, name: str) -> Relation:
        """The rows of a source or processor, evaluated on first use."""
        if name not in self._done:
            self._done[name] = self._leaf(name) if name in self.graph.sources else self._processor(name)
        return self._done[name]

    def rows(self, relation: Relation) -> int:
        """How many rows a relation has, with those left out."""
        return self._count(relation.name)

    def allow_list(self, name: str) -> str | None:
        """The live rows of an allow-list, not limited by TLP, that can have a say; None if there are none."""
        label = f"allow {name}"
        if label not in self._done:
            self._done[label] = self._allow_entries(name)
        relation = self._done[label]
        return relation.live if self._count(relation.live) else None

    def _allow_entries(self, name: str) -> Relation:
        table = claims_table(self.graph.ids[name])
        if not self._row(f"SELECT count(*) FROM {table}")[0]:
            return self._nothing()
        cut = [f"key IN ({concerning(table, 'slice')})"] if self.sliced else []
        made = self.materialise(self._leaves.entries(name, *cut))
        rows, networks, dropped = self._row(f"SELECT count(*), count(lo), count(dropped) FROM {made}")
        relation = self._relation(made, rows, dropped, unique=False)
        self._networks |= {relation.live} if networks else set()
        return relation

    def output(self, name: str) -> Relation:
        """The rows of an output, one per key, as its far side would hold them.

        `steps` then names the relations it went through, first to last (for `why`).
        """
        kind = self.graph.outputs[name]
        ledger = self.ledgers.setdefault(name, Ledger())
        if not self.sliced:
            self._warn([source for source in self.graph.feeds(name) if source not in self._marks])
        relation = self._together(kind.settings.inputs)
        ledger.read = self._count(relation.live)
        trail: list[str] = []
        self.steps[name] = trail
        if not ledger.read:
            return relation
        if kind.settings.where:
            sql = filtered(relation.live, compile_filter(kind.settings.where), literal(self.as_of))
            relation = self._step(sql, ledger, unique=relation.unique)
            trail.append(relation.name)
        relation = self._merge(relation, ledger)
        allowed = self._allow(relation, self._allowed(self.graph.allow_of(name)), kind.settings.urls, ledger)
        if allowed is not relation:
            trail.append(allowed.name)
        relation = allowed
        shape = kind.shape(relation.live, literal(self.as_of))
        if shape is not None:
            relation = self._step(shape, ledger, unique=False)
            trail.append(relation.name)
            relation = self._merge(relation, ledger)
        ledger.accepted = ledger.read - ledger.duplicate - sum(ledger.dropped.values())
        return relation

    def materialise(self, sql: str) -> str:
        """Run a query into a temporary table; returns its name."""
        return self._table(f"AS {sql}")

    def close(self) -> None:
        """Drop every temporary table."""
        with suppress(duckdb.TransactionException):  # what failed is rolled back, and takes its tables along
            for kind, name in reversed(self._made):
                self.con.execute(f"DROP {kind} IF EXISTS {name}")
        self._made.clear()
        self._done.clear()

    def _table(self, content: str) -> str:
        name = f"t_{next(self._numbers)}"
        self.con.execute(f"CREATE TEMP TABLE {name} {content}")
        self._made.append(("TABLE", name))
        return name

    def _view(self, sql: str) -> str:
        name = f"v_{next(self._numbers)}"
        self.con.execute(f"CREATE TEMP VIEW {name} AS {sql}")
        self._made.append(("VIEW", name))
        return name

    def _relation(self, name: str, rows: int, dropped: int, *, unique: bool) -> Relation:
        live = self._view(f"SELECT * FROM {name} WHERE dropped IS NULL") if dropped else name
        self._counts[name], self._counts[live] = rows, rows - dropped
        return Relation(name, live, unique)

    def _nothing(self) -> Relation:
        """No rows."""
        if "" not in self._done:
            columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in {**VIEW, "dropped": "VARCHAR"}.items())
            self._done[""] = self._relation(f"(SELECT {columns} WHERE FALSE)", 0, 0, unique=True)
        return self._done[""]

    def _step(self, sql: str, ledger: Ledger, *, unique: bool) -> Relation:
        table = self.materialise(sql)
        rows, dropped = self._row(f"SELECT count(*), count(dropped) FROM {table}")
        return self._accounted(self._relation(table, rows, dropped, unique=unique), dropped, ledger)

    def _leaf(self, name: str) -> Relation:
        leaf, ledger = self._there().get(name), self.ledgers.setdefault(name, Ledger())
        if leaf is None:
            return self._nothing()
        # A slice is cut once for all its readers; all claims are read where they lie rather than copied.
        leaf = leaf if self.sliced else self._seen_whole(name, leaf)
        made = replace(self._relation(leaf.relation, leaf.rows, leaf.dropped, unique=leaf.unique), leaf=leaf.number)
        ledger.read, ledger.accepted = leaf.rows, leaf.rows - leaf.dropped
        return self._accounted(made, leaf.dropped, ledger)

    def _seen_whole(self, name: str, leaf: _Leaf) -> _Leaf:
        """A source's claims where they lie, with what warning lists say of them."""
        if name not in self._marks:
            self._warn([name])
        marks = self._marks[name]
        view = self._view(leaf.relation if marks is None else marks.put(leaf.relation))
        if marks is None or not marks.drops:
            return replace(leaf, relation=view)
        return replace(leaf, relation=view, dropped=self._dropped(view))

    def _warn(self, names: list[str]) -> None:
        """Look up in the warning lists what some sources claim: all at once, as each look costs its own."""
        there = [name for name in names if name in self._there() and name not in self.graph.configuration.allow_lists]
        every = " UNION ALL ".join(self._leaves.narrow(name, NARROW) for name in there)
        self._marks |= dict.fromkeys(names, self._said(f"({every})") if there else None)

    def _said(self, claims: str) -> _Marks | None:
        """What warning lists say of claims; None if nothing."""
        query = marked(self.con, self.graph, claims)
        if query is None:
            return None
        table = self.materialise(query)
        rows, drops = self._row(f"SELECT count(*), count(refused) FROM {table}")
        return _Marks(table, drops > 0) if rows else None

    def _there(self) -> dict[str, _Leaf]:
        """What is known of the sources that have a claim at all (or, of a slice, in it)."""
        if self._facts is None:
            self._facts = self._gathered() if self.sliced else self._whole()
        return self._facts

    def _whole(self) -> dict[str, _Leaf]:
        """The sources that have a claim at all, found in one statement."""
        names = list(self.graph.sources)
        every = " UNION ALL ".join(
            self._leaves.narrow(name, f"{n} AS n, record, {self._leaves.reason(name)} AS dropped")
            for n, name in enumerate(names)
        )
        # A claim is one a (key, record): without records, one a key.
        facts = "count(*), count(dropped), NOT bool_or(record <> '')"
        found = self.con.execute(f"SELECT n, {facts} FROM ({every}) GROUP BY n").fetchall()
        return {names[n]: _Leaf(self._leaves.rows(names[n]), *counts) for n, *counts in found}

    def _gathered(self) -> dict[str, _Leaf]:
        """The sources that have a claim in the slice, with all these in one table: each has a part of it."""
        names = list(self.graph.sources)
        every = " UNION ALL ".join(
            self._leaves.narrow(name, f"{n} AS n, rowid AS place, key") for n, name in enumerate(names)
        )
        facts = f"CASE WHEN count(*) <= {_FEW} THEN list(place) END, count(*) = count(DISTINCT key)"
        found = self.con.execute(f"SELECT n, {facts} FROM ({every}) WHERE {_IN_SLICE} GROUP BY n").fetchall()
        if not found:
            return {}
        tests = {
            n: _IN_SLICE if places is None else f"rowid IN ({', '.join(map(str, places))})" for n, places, _ in found
        }
        parts = [f"SELECT {n} AS leaf, * FROM ({self._leaves.rows(names[n], test)})" for n, test in tests.items()]
        self._slices = self.materialise(" UNION ALL ".join(parts))
        allowing = self.graph.configuration.allow_lists
        feeds = ", ".join(str(n) for n in tests if names[n] not in allowing)
        marks = self._said(f"(SELECT {NARROW} FROM {self._slices} WHERE leaf IN ({feeds}))") if feeds else None
        if marks is not None:
            self._slices = self.materialise(marks.put(f"FROM {self._slices}", f"r.leaf IN ({feeds})"))
        rows = self.con.execute(f"SELECT leaf, count(*), count(dropped) FROM {self._slices} GROUP BY leaf").fetchall()
        unique = {n: once for n, _, once in found}
        return {names[n]: _Leaf(self._of_slices(n), count, dropped, unique[n], n) for n, count, dropped in rows}

    def _of_slices(self, *numbers: int) -> str:
        return f"(SELECT * EXCLUDE leaf FROM {self._slices} WHERE leaf IN ({', '.join(map(str, numbers))}))"

    def _together(self, names: list[str]) -> Relation:
        """The rows of several nodes; of those that have none, nothing is asked any more."""
        inputs = [self.node(other) for other in names]
        filled = [relation for relation in inputs if self._count(relation.live)]
        if not filled:
            return self._nothing()
        if len(filled) == 1:
            return filled[0]
        leaves = [relation.leaf for relation in filled if relation.leaf is not None]
        parts = [relation.live for relation in filled if relation.leaf is None]
        if leaves:
            parts.append(f"(SELECT * FROM {self._of_slices(*leaves)} WHERE dropped IS NULL)")
        every = union(parts)
        self._counts[every] = sum(self._count(relation.live) for relation in filled)
        return Relation(every, every, unique=False)

    def _processor(self, name: str) -> Relation:
        kind = self.graph.processors[name]
        every = self._together(kind.settings.inputs)
        ledger = self.ledgers.setdefault(name, Ledger())
        ledger.read = self._count(every.live)
        if not ledger.read:
            return self._nothing()
        lists = self._allowed(getattr(kind.settings, "allow", []))
        if kind.merges and every.unique and not lists:
            ledger.accepted = ledger.read
            return Relation(every.live, every.live, unique=True)
        query = Query(
            inputs=[every.live],
            allow=lists,
            as_of=literal(self.as_of),
            materialise=self.materialise,
            unique=every.unique,
            reliability=self.graph.reliability(),
            networks=not self._networks.isdisjoint(lists),
        )
        is_unique = kind.unique if kind.unique is not None else every.unique
        relation = self._step(kind.query(query), ledger, unique=is_unique)
        left = ledger.read - sum(ledger.dropped.values())
        ledger.accepted = min(self._count(relation.live), left)
        ledger.duplicate = left - ledger.accepted
        return relation

    def _merge(self, relation: Relation, ledger: Ledger) -> Relation:
        if relation.unique:
            return relation
        sql = f"SELECT *, NULL::VARCHAR AS dropped FROM ({merged(relation.live)})"
        table = self.materialise(sql)
        once = self._relation(table, self._count(table), 0, unique=True)
        ledger.duplicate += self._count(relation.live) - self._count(once.live)
        return once

    def _allow(self, relation: Relation, lists: list[str], urls: Urls, ledger: Ledger) -> Relation:
        if not lists or not self._count(relation.live):
            return relation
        networks = not self._networks.isdisjoint(lists)
        return self._step(allow(relation.live, union(lists), urls, networks=networks), ledger, unique=True)

    def _allowed(self, names: list[str]) -> list[str]:
        """The live rows of those allow-lists that have some."""
        return [live for live in map(self.allow_list, names) if live is not None]

    def _row(self, query: str) -> tuple[int, ...]:
        row = self.con.execute(query).fetchone()
        return tuple(int(number) for number in row or ())

    def _dropped(self, table: str) -> int:
        return self._row(f"SELECT count(dropped) FROM {table}")[0]

    def _count(self, relation: str) -> int:
        """Rows of a relation; nothing that is counted here changes while the views stand."""
        if relation not in self._counts:
            (self._counts[relation],) = self._row(f"SELECT count(*) FROM {relation}")
        return self._counts[relation]

    def _accounted(self, relation: Relation, dropped: int, ledger: Ledger) -> Relation:
        """The relation, after what it leaves out went to the account."""
        if dropped:
            self._account(relation.name, ledger)
        return relation

    def _account(self, table: str, ledger: Ledger) -> None:
        groups = self.con.execute(
            "SELECT split_part(dropped, ':', 1) AS code, count(*),"
            f" list(struct_pack(v := value, d := dropped) ORDER BY value)[:{MAX_SAMPLES}]"
            f" FROM {table} WHERE dropped IS NOT NULL GROUP BY code ORDER BY code"
        ).fetchall()
        for code, number, samples in groups:
            ledger.dropped[code] += number
            for sample in samples:
                ledger.drop(sample["d"], 0, [sample["v"]])
