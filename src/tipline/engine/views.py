"""Evaluates the views of one audience: leaves, processors and outputs, each node once, on a slice or in full."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import duckdb

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.gather import Gatherer
from tipline.engine.graph import Audience, Graph
from tipline.engine.leaves import Leaves
from tipline.engine.ledger import MAX_SAMPLES, Ledger
from tipline.engine.temporaries import Temporaries
from tipline.engine.times import literal
from tipline.processors.allowsql import Urls, allow, concerning
from tipline.processors.base import Query, union
from tipline.processors.expression import compile_filter
from tipline.processors.filter import filtered
from tipline.processors.merge import merged
from tipline.store.schema import VIEW, claims_table


@dataclass(frozen=True)
class Relation:
    """A node's rows: `name` holds all with `dropped`, `live` those passed on; `leaf` is a source's part of a slice."""

    name: str
    live: str
    unique: bool
    leaf: int | None = None


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
        self._counts: dict[str, int] = {}
        self._leaves = Leaves(graph, audience, as_of, moments, asker)
        self._temporaries = Temporaries(con)
        self._gatherer = Gatherer(self._temporaries, self._leaves, sliced=sliced)
        self._networks: set[str] = set()

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
        self._gatherer.prepare(self.graph.feeds(name))
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
        return self._temporaries.table(sql)

    def close(self) -> None:
        """Drop every temporary table."""
        self._temporaries.close()
        self._done.clear()

    def _relation(self, name: str, rows: int, dropped: int, *, unique: bool) -> Relation:
        live = self._temporaries.view(f"SELECT * FROM {name} WHERE dropped IS NULL") if dropped else name
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
        leaf, ledger = self._gatherer.leaf(name), self.ledgers.setdefault(name, Ledger())
        if leaf is None:
            return self._nothing()
        made = replace(self._relation(leaf.relation, leaf.rows, leaf.dropped, unique=leaf.unique), leaf=leaf.number)
        ledger.read, ledger.accepted = leaf.rows, leaf.rows - leaf.dropped
        return self._accounted(made, leaf.dropped, ledger)

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
            parts.append(f"(SELECT * FROM {self._gatherer.parts(leaves)} WHERE dropped IS NULL)")
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
