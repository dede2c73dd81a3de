"""Evaluates the views of one audience: leaves, processors and outputs, each node once, on a slice or in full."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count

import duckdb

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.claims import expired_sql
from tipline.engine.graph import Audience, Graph
from tipline.engine.ledger import MAX_SAMPLES, Ledger
from tipline.engine.times import literal
from tipline.engine.visible import claims_seen
from tipline.engine.warnings import marked
from tipline.model.tlp import AMBER, RED
from tipline.processors.allowsql import Urls, allow, concerning
from tipline.processors.base import Query, union
from tipline.processors.expression import compile_filter
from tipline.processors.filter import filtered
from tipline.processors.merge import merged
from tipline.processors.warningsql import NARROW
from tipline.sources.ageing import expiries
from tipline.sources.base import EXACT
from tipline.store.schema import VIEW, VIEW_COLUMNS, claims_table, columns_sql

DEFAULT_CONFIDENCE = 50
_IN_SLICE = " WHERE key IN (SELECT key FROM slice)"


@dataclass(frozen=True)
class Relation:
    """A node's rows: `name` holds all with `dropped`, `live` those passed on."""

    name: str
    live: str
    unique: bool


@dataclass(frozen=True)
class _Marks:
    """What warning lists say of claims: a table (key, marks, refused), and whether they drop any."""

    table: str
    drops: bool


@dataclass(frozen=True)
class _Leaf:
    """A source's claims, as far as they are looked at: how many, how many of them are left out, whether keys repeat."""

    rows: int
    dropped: int | None
    unique: bool


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
        self.moments = moments
        self.sliced = sliced
        self.asker = asker
        self.ledgers: dict[str, Ledger] = {}
        self.steps: dict[str, list[str]] = {}
        self._done: dict[str, Relation] = {}
        self._made: list[tuple[str, str]] = []
        self._counts: dict[str, int] = {}
        self._facts: dict[str, _Leaf] | None = None
        self._networks: set[str] = set()
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
        cut = f" WHERE key IN ({concerning(table, 'slice')})" if self.sliced else ""
        made = self.materialise(self._leaf_sql(name, allow_list=True) + cut)
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
            columns = columns_sql({**VIEW, "dropped": "VARCHAR"})
            table = self._table(f"({columns})")
            self._done[""] = self._relation(table, 0, 0, unique=True)
        return self._done[""]

    def _step(self, sql: str, ledger: Ledger, *, unique: bool) -> Relation:
        table = self.materialise(sql)
        rows, dropped = self._row(f"SELECT count(*), count(dropped) FROM {table}")
        return self._accounted(self._relation(table, rows, dropped, unique=unique), dropped, ledger)

    def _leaf(self, name: str) -> Relation:
        leaf, ledger = self._leaves().get(name), self.ledgers.setdefault(name, Ledger())
        if leaf is None:
            return self._nothing()
        if name not in self._marks:
            self._warn([name])
        marks = self._marks[name]
        sql = self._leaf_sql(name, allow_list=False)
        # A slice is cut once for all its readers; all claims are read where they lie rather than copied.
        table = self.materialise(sql) if self.sliced else self._view(sql)
        known = leaf.dropped is not None and not (marks and marks.drops)
        dropped = leaf.dropped if known and leaf.dropped is not None else self._dropped(table)
        relation = self._accounted(self._relation(table, leaf.rows, dropped, unique=leaf.unique), dropped, ledger)
        ledger.read, ledger.accepted = leaf.rows, leaf.rows - dropped
        return relation

    def _warn(self, names: list[str]) -> None:
        """Look up in the warning lists what some sources claim: all at once, as each look costs its own."""
        there = [name for name in names if name in self._leaves() and name not in self.graph.configuration.allow_lists]
        where = _IN_SLICE if self.sliced else ""
        every = " UNION ALL ".join(f"SELECT {NARROW} FROM {self._claims(name)}{where}" for name in there)
        query = marked(self.con, self.graph, f"({every})") if there else None
        found: _Marks | None = None
        if query is not None:
            table = self.materialise(query)
            rows, drops = self._row(f"SELECT count(*), count(refused) FROM {table}")
            found = _Marks(table, drops > 0) if rows else None
        self._marks |= dict.fromkeys(names, found)

    def _leaves(self) -> dict[str, _Leaf]:
        """What is known of the sources that have a claim at all (or, of a slice, in it): in one statement."""
        if self._facts is None:
            names = list(self.graph.sources)
            if self.sliced:
                columns, facts, where = dict.fromkeys(names, "key"), "NULL, count(*) = count(DISTINCT key)", _IN_SLICE
            else:
                # A claim is one a (key, record): without records, one a key.
                columns = {name: f"record, {self._reason(name, allow_list=False)} AS dropped" for name in names}
                facts, where = "count(dropped), NOT bool_or(record <> '')", ""
            every = " UNION ALL ".join(
                f"SELECT {n} AS n, {columns[name]} FROM {self._claims(name)}" for n, name in enumerate(names)
            )
            found = self.con.execute(f"SELECT n, count(*), {facts} FROM ({every}){where} GROUP BY n").fetchall()
            self._facts = {names[n]: _Leaf(rows, dropped, unique) for n, rows, dropped, unique in found}
        return self._facts

    def _together(self, names: list[str]) -> Relation:
        """The rows of several nodes; of those that have none, nothing is asked any more."""
        inputs = [self.node(other) for other in names]
        filled = [relation for relation in inputs if self._count(relation.live)]
        if not filled:
            return self._nothing()
        if len(filled) == 1:
            return filled[0]
        every = union([relation.live for relation in filled])
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

    def _leaf_sql(self, name: str, *, allow_list: bool) -> str:
        settings = self.graph.sources[name].settings
        columns = {
            "sources": f"[{_quoted(name)}]",
            "confidence": f"coalesce(confidence, {_or(settings.confidence, DEFAULT_CONFIDENCE)})::UTINYINT",
            "actionable": f"coalesce(actionable, {settings.actionable})",
            "tlp": self._tlp(name),
            "direction": f"coalesce(direction, {_quoted(settings.direction)})",
            "threat_types": _with("threat_types", settings.threat_types),
            "tags": _with("tags", settings.tags),
            "description": f"coalesce(description, {_quoted(settings.description)})",
            "valid_until": _own_end(settings.expire),
        }
        if allow_list:
            columns["rhost"] = f"CASE WHEN list_contains(coalesce(tags, []), '{EXACT}') THEN NULL ELSE rhost END"
        reason = self._reason(name, allow_list=allow_list)
        relation = claims_table(self.graph.ids[name]) if allow_list else self._claims(name)
        relation += _IN_SLICE if self.sliced and not allow_list else ""
        marks = None if allow_list else self._marks.get(name)
        if marks is not None:
            columns["tags"] = (
                f"CASE WHEN marks IS NULL THEN {columns['tags']}"
                f" ELSE list_sort(list_distinct(list_concat(coalesce({columns['tags']}, []), marks))) END"
            )
            reason = f"coalesce({reason}, refused)"
            relation = f"(SELECT * FROM {relation}) LEFT JOIN {marks.table} USING (key)"
        selected = ", ".join(f"{columns.get(c, c)} AS {c}" for c in VIEW_COLUMNS.split(", "))
        return f"SELECT {selected}, {reason} AS dropped FROM {relation}"

    def _claims(self, name: str) -> str:
        return claims_seen(self.graph, name, self.asker)

    def _reason(self, name: str, *, allow_list: bool) -> str:
        """SQL: why a claim of a source is left out; null if it is not."""
        settings = self.graph.sources[name].settings
        moment = literal(self.moments.get(name, self.as_of))
        reasons = [f"WHEN {expired_sql(expiries(settings.expire), literal(self.as_of), moment)} THEN 'expired'"]
        if not allow_list:
            tlp = self._tlp(name)
            reasons.append(f"WHEN {tlp} > {self.audience.max_tlp} THEN 'tlp'")
            if settings.team != self.audience.team:
                reasons.append(f"WHEN {tlp} = {RED} THEN 'tlp'")
            if self.audience.actionable_only:
                reasons.append(f"WHEN NOT coalesce(actionable, {settings.actionable}) THEN 'not-actionable'")
        return f"CASE {' '.join(reasons)} END"

    def _tlp(self, name: str) -> str:
        settings = self.graph.sources[name].settings
        return f"coalesce(tlp, {AMBER if settings.tlp is None else settings.tlp})::UTINYINT"

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


def _quoted(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _with(column: str, constants: list[str]) -> str:
    if not constants:
        return column
    literal_list = "[" + ", ".join(_quoted(word) for word in constants) + "]"
    return f"list_sort(list_distinct(list_concat(coalesce({column}, []), {literal_list})))"


def _own_end(rules: list[str]) -> str:
    """When the claim ends by its source's word or a fixed rule (moving rules would change it at every poll)."""
    fixed = [rule.moment_sql() for rule in expiries(rules) if rule.base == "added"]
    return f"least({', '.join(['valid_until', *fixed])})" if fixed else "valid_until"
