"""Evaluates the views of one audience: leaves, processors and outputs, each node once, on a slice or in full."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import count

import duckdb

from tipline.engine.claims import expired_sql
from tipline.engine.graph import Audience, Graph
from tipline.engine.ledger import MAX_SAMPLES, Ledger
from tipline.engine.times import literal
from tipline.model.tlp import AMBER, RED
from tipline.processors.allowsql import Urls, allow
from tipline.processors.base import Query, union
from tipline.processors.expression import compile_filter
from tipline.processors.filter import filtered
from tipline.processors.merge import merged
from tipline.sources.ageing import expiries
from tipline.sources.base import EXACT
from tipline.store.schema import VIEW_COLUMNS, claims_table

DEFAULT_CONFIDENCE = 50


@dataclass(frozen=True)
class Relation:
    """A node's rows: `name` holds all with `dropped`, `live` those passed on."""

    name: str
    live: str
    unique: bool


class Views:
    """The views of one audience at one moment.

    Args:
        con: the evaluation's own connection (everything is in temporary tables).
        graph: the nodes.
        audience: whom the outputs are for.
        as_of: the moment.
        moments: each source's own clock (it stands still while the source fails or is held).
        sliced: whether leaves are cut to the keys of the temporary table `slice`.
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
    ) -> None:
        self.con = con
        self.graph = graph
        self.audience = audience
        self.as_of = as_of
        self.moments = moments
        self.sliced = sliced
        self.ledgers: dict[str, Ledger] = {}
        self.steps: dict[str, list[str]] = {}
        self._done: dict[str, Relation] = {}
        self._made: list[tuple[str, str]] = []
        self._counts: dict[str, int] = {}

    def node(self, name: str) -> Relation:
        """The rows of a source or processor, evaluated on first use."""
        if name not in self._done:
            self._done[name] = self._leaf(name) if name in self.graph.sources else self._processor(name)
        return self._done[name]

    def allow_list(self, name: str) -> str:
        """The live rows of an allow-list: whole, whatever the slice, and not limited by TLP."""
        label = f"allow {name}"
        if label not in self._done:
            table = self.materialise(self._leaf_sql(name, allow_list=True))
            self._done[label] = self._relation(table, unique=False)
        return self._done[label].live

    def output(self, name: str) -> Relation:
        """The rows of an output, one per key, as its far side would hold them.

        `steps` then names the relations it went through, first to last (for `why`).
        """
        kind = self.graph.outputs[name]
        ledger = self.ledgers.setdefault(name, Ledger())
        inputs = [self.node(other) for other in kind.settings.inputs]
        relation = Relation("", union([rel.live for rel in inputs]), len(inputs) == 1 and inputs[0].unique)
        if len(inputs) == 1:
            relation = inputs[0]
        ledger.read = self._count(relation.live)
        trail: list[str] = []
        if kind.settings.where:
            sql = filtered(relation.live, compile_filter(kind.settings.where), literal(self.as_of))
            relation = self._step(sql, ledger, unique=relation.unique)
            trail.append(relation.name)
        relation = self._merge(relation, ledger)
        lists = [self.allow_list(other) for other in self.graph.allow_of(name)]
        allowed = self._allow(relation, lists, kind.settings.urls, ledger)
        if allowed is not relation:
            trail.append(allowed.name)
        relation = allowed
        shape = kind.shape(relation.live, literal(self.as_of))
        if shape is not None:
            relation = self._step(shape, ledger, unique=False)
            trail.append(relation.name)
            relation = self._merge(relation, ledger)
        ledger.accepted = ledger.read - ledger.duplicate - sum(ledger.dropped.values())
        self.steps[name] = trail
        return relation

    def materialise(self, sql: str) -> str:
        """Run a query into a temporary table; returns its name."""
        table = f"t_{next(self._numbers)}"
        self.con.execute(f"CREATE TEMP TABLE {table} AS {sql}")
        self._made.append(("TABLE", table))
        return table

    def close(self) -> None:
        """Drop every temporary table."""
        for kind, name in reversed(self._made):
            self.con.execute(f"DROP {kind} IF EXISTS {name}")
        self._made.clear()
        self._done.clear()

    def _view(self, sql: str) -> str:
        name = f"v_{next(self._numbers)}"
        self.con.execute(f"CREATE TEMP VIEW {name} AS {sql}")
        self._made.append(("VIEW", name))
        return name

    def _relation(self, table: str, *, unique: bool) -> Relation:
        return Relation(table, self._view(f"SELECT * FROM {table} WHERE dropped IS NULL"), unique)

    def _step(self, sql: str, ledger: Ledger, *, unique: bool) -> Relation:
        relation = self._relation(self.materialise(sql), unique=unique)
        self._account(relation.name, ledger)
        return relation

    def _leaf(self, name: str) -> Relation:
        ledger = self.ledgers.setdefault(name, Ledger())
        sql = self._leaf_sql(name, allow_list=False)
        # A claim is one a (key, record): without records, one a key.
        unique = not self._count(f"{claims_table(self.graph.ids[name])} WHERE record <> ''")
        # A slice is cut once for all its readers; all claims are read where they lie rather than copied.
        relation = self._relation(self.materialise(sql) if self.sliced else self._view(sql), unique=unique)
        self._account(relation.name, ledger)
        ledger.read = self._count(relation.name)
        ledger.accepted = ledger.read - sum(ledger.dropped.values())
        return relation

    def _processor(self, name: str) -> Relation:
        kind = self.graph.processors[name]
        inputs = [self.node(other) for other in kind.settings.inputs]
        unique = len(inputs) == 1 and inputs[0].unique
        lists = self._filled([self.allow_list(other) for other in getattr(kind.settings, "allow", [])])
        ledger = self.ledgers.setdefault(name, Ledger())
        if kind.merges and unique and not lists:
            ledger.read = ledger.accepted = self._count(inputs[0].live)
            return Relation(inputs[0].live, inputs[0].live, unique=True)
        query = Query(
            inputs=[relation.live for relation in inputs],
            allow=lists,
            as_of=literal(self.as_of),
            materialise=self.materialise,
            unique=unique,
            reliability=self.graph.reliability(),
        )
        ledger.read = self._count(query.union())
        is_unique = kind.unique if kind.unique is not None else unique
        relation = self._step(kind.query(query), ledger, unique=is_unique)
        left = ledger.read - sum(ledger.dropped.values())
        ledger.accepted = min(self._count(relation.live), left)
        ledger.duplicate = left - ledger.accepted
        return relation

    def _merge(self, relation: Relation, ledger: Ledger) -> Relation:
        if relation.unique:
            return relation
        before = self._count(relation.live)
        sql = f"SELECT *, NULL::VARCHAR AS dropped FROM ({merged(relation.live)})"
        once = self._relation(self.materialise(sql), unique=True)
        ledger.duplicate += before - self._count(once.live)
        return once

    def _allow(self, relation: Relation, lists: list[str], urls: Urls, ledger: Ledger) -> Relation:
        entries = self._filled(lists)
        if not entries:
            return relation
        return self._step(allow(relation.live, union(entries), urls), ledger, unique=True)

    def _filled(self, lists: list[str]) -> list[str]:
        return [name for name in lists if self._count(name)]

    def _leaf_sql(self, name: str, *, allow_list: bool) -> str:
        source = self.graph.sources[name]
        settings = source.settings
        at = literal(self.as_of)
        expired = expired_sql(expiries(settings.expire), at, literal(self.moments.get(name, self.as_of)))
        tlp = f"coalesce(tlp, {AMBER if settings.tlp is None else settings.tlp})::UTINYINT"
        reasons = [f"WHEN {expired} THEN 'expired'"]
        if not allow_list:
            reasons.append(f"WHEN {tlp} > {self.audience.max_tlp} THEN 'tlp'")
            if settings.team != self.audience.team:
                reasons.append(f"WHEN {tlp} = {RED} THEN 'tlp'")
            if self.audience.actionable_only:
                reasons.append(f"WHEN NOT coalesce(actionable, {settings.actionable}) THEN 'not-actionable'")
        columns = {
            "sources": f"[{_quoted(name)}]",
            "confidence": f"coalesce(confidence, {_or(settings.confidence, DEFAULT_CONFIDENCE)})::UTINYINT",
            "actionable": f"coalesce(actionable, {settings.actionable})",
            "tlp": tlp,
            "direction": f"coalesce(direction, {_quoted(settings.direction)})",
            "threat_types": _with("threat_types", settings.threat_types),
            "tags": _with("tags", settings.tags),
            "description": f"coalesce(description, {_quoted(settings.description)})",
            "valid_until": _own_end(settings.expire),
        }
        if allow_list:
            columns["rhost"] = f"CASE WHEN list_contains(coalesce(tags, []), '{EXACT}') THEN NULL ELSE rhost END"
        selected = ", ".join(f"{columns.get(c, c)} AS {c}" for c in VIEW_COLUMNS.split(", "))
        where = " WHERE key IN (SELECT key FROM slice)" if self.sliced and not allow_list else ""
        return (
            f"SELECT {selected}, CASE {' '.join(reasons)} END AS dropped"
            f" FROM {claims_table(self.graph.ids[name])}{where}"
        )

    def _count(self, relation: str) -> int:
        """Rows of a relation; nothing that is counted here changes while the views stand."""
        if relation not in self._counts:
            row = self.con.execute(f"SELECT count(*) FROM {relation}").fetchone()
            self._counts[relation] = int(row[0]) if row else 0
        return self._counts[relation]

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
