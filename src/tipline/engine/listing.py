"""What a node holds, a page at a time in the order of type and value."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.core import Engine
from tipline.engine.filters import quoted
from tipline.engine.graph import Audience, Graph
from tipline.engine.positions import current_positions
from tipline.engine.rows import dicts
from tipline.engine.touch import FULL_SHARE
from tipline.engine.views import Views
from tipline.engine.visible import claims_cut, claims_seen, published_cut, restricted, without_names
from tipline.model.tlp import RED
from tipline.processors.allowsql import overlapping_keys
from tipline.store.schema import CLAIM, VIEW_COLUMNS, claims_table

_CLAIMS = ", ".join(name for name in CLAIM if name not in {"digest", "line"})
_HIDDEN = {"key", "kh", "lo", "up", "rhost", "dropped"}
_NARROW = "key, type, value, lo, up, rhost"
# Rows of inputs that are looked at first for one row of a processor.
_MORE = 2
_WIDE = "type IN ('ipv4', 'ipv6') AND (contains(value, '/') OR contains(value, '-'))"


def listing(
    engine: Engine, node: str, limit: int = 1000, offset: int = 0, asker: Asker = LOCAL
) -> list[dict[str, Any]]:
    """What a node holds now: claims of a source, live rows of a processor, published rows of an output.

    The node is one that the asker sees.
    """
    graph = engine.graph
    with engine.lake.reading() as con:
        if node in graph.outputs:
            found = _page(con, *published_cut(graph, node, asker), f"{VIEW_COLUMNS}, since", limit, offset)
        elif node in graph.sources:
            found = _page(con, *claims_cut(graph, node, asker), _CLAIMS, limit, offset)
        else:
            found = _Processor(con, engine, node, asker).page(limit, offset)
    readable = [{name: value for name, value in row.items() if name not in _HIDDEN} for row in found]
    return without_names(graph, asker, readable)


def _page(
    con: duckdb.DuckDBPyConnection, table: str, cut: list[str], selected: str, limit: int, offset: int
) -> list[dict[str, Any]]:
    """A page of what is seen of a table: first where its rows are, by two columns, then these rows."""
    places = con.execute(f"SELECT rowid FROM {restricted(table, cut)} {_part(limit, offset)}").fetchall()
    if not places:
        return []
    listed = ", ".join(str(place) for (place,) in places)
    return dicts(con, f"SELECT {selected} FROM {table} WHERE rowid IN ({listed}) ORDER BY type, value")


def _part(limit: int, offset: int) -> str:
    return f"ORDER BY type, value LIMIT {limit} OFFSET {offset}"


class _Processor:
    """What a processor passes on, evaluated no further than the page reaches.

    Args:
        con: an open transaction.
        engine: the engine.
        node: the processor.
        asker: who asks; they see it.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, engine: Engine, node: str, asker: Asker) -> None:
        self._con, self._node, self._asker = con, node, asker
        self._graph: Graph = engine.graph
        self._now = engine.clock()
        self._moments: dict[str, datetime] = {
            name: p.moment for name, p in current_positions(con, self._graph, self._now).items()
        }
        # It is evaluated as for the first output that reads it, but as far as the asker sees.
        readers = [self._graph.audience(name) for name in self._graph.outputs if node in self._graph.upstream(name)]
        audience = readers[0] if readers else Audience(self._graph.processors[node].settings.team, RED, False)
        if not asker.everywhere and audience.team != asker.team:
            audience = Audience(asker.team, audience.max_tlp, audience.actionable_only)
        self._audience = audience
        self._way = self._graph.way_to(node)
        inputs = [name for each in self._way for name in self._graph.processors[each].settings.inputs]
        self._feeds = list(dict.fromkeys(name for name in inputs if name in self._graph.sources))

    def page(self, limit: int, offset: int) -> list[dict[str, Any]]:
        """The rows from an offset on."""
        claims = self._count(f"({self._union('key')})")
        first = _MORE * (limit + offset)
        while first < FULL_SHARE * claims and self._stands_alone():
            found = self._evaluated(limit, offset, until=self._slice(first))
            if len(found) == limit:
                return found
            first *= 4
        return self._evaluated(limit, offset)

    def _stands_alone(self) -> bool:
        """Whether what becomes of an indicator depends on nothing but claims on it, and on what cuts networks."""
        return all(self._graph.processors[name].reach == "key" for name in self._way)

    def _slice(self, first: int) -> tuple[str, str]:
        """Take the first claims in order, and the networks that leave pieces; returns the last one's type and value."""
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE slice AS SELECT DISTINCT ON (key) * FROM ("
            f"SELECT * FROM ({self._union(_NARROW)}) ORDER BY type, value LIMIT {first})"
        )
        row = self._con.execute("SELECT type, value FROM slice ORDER BY type DESC, value DESC LIMIT 1").fetchone()
        type_, value = row or ("", "")
        if type_ >= "ipv4":
            wide = f"(SELECT * FROM ({self._union(_NARROW)}) WHERE {_WIDE})"
            for name in self._allow_lists():
                cut = overlapping_keys(wide, claims_table(self._graph.ids[name]))
                self._con.execute(
                    f"INSERT INTO slice SELECT DISTINCT ON (key) * FROM {wide} SEMI JOIN ({cut}) USING (key)"
                )
        return type_, value

    def _evaluated(self, limit: int, offset: int, until: tuple[str, str] | None = None) -> list[dict[str, Any]]:
        con, graph, asker, sliced = self._con, self._graph, self._asker, until is not None
        views = Views(con, graph, self._audience, self._now, self._moments, sliced=sliced, asker=asker)
        try:
            live = views.node(self._node).live
            if until is not None:  # behind the last one, others may be missing
                type_, value = map(quoted, until)
                live = f"(SELECT * FROM {live} WHERE type < {type_} OR (type = {type_} AND value <= {value}))"
            return dicts(con, f"SELECT * FROM {live} {_part(limit, offset)}")
        finally:
            views.close()

    def _allow_lists(self) -> list[str]:
        names = [name for each in self._way for name in getattr(self._graph.processors[each].settings, "allow", [])]
        return list(dict.fromkeys(names))

    def _union(self, columns: str) -> str:
        return " UNION ALL ".join(
            f"SELECT {columns} FROM {claims_seen(self._graph, name, self._asker)}" for name in self._feeds
        )

    def _count(self, relation: str) -> int:
        (count,) = self._con.execute(f"SELECT count(*) FROM {relation}").fetchone() or (0,)
        return int(count)
