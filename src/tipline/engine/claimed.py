"""Claims that fulfil a condition: found in every source at once, then read where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

import duckdb

from tipline.engine.asker import Asker
from tipline.engine.graph import Graph
from tipline.engine.visible import claims_cut, restricted
from tipline.model.keys import kh_of


def claimed(
    con: duckdb.DuckDBPyConnection,
    graph: Graph,
    asker: Asker,
    test: str,
    columns: str,
    selected: Callable[[str], str],
) -> str | None:
    """A query of the claims that an asker sees and that fulfil a condition; None if there are none.

    Args:
        con: an open transaction; the query holds within it.
        graph: the nodes.
        asker: who asks.
        test: SQL, on `columns`.
        columns: what the condition speaks of.
        selected: what is selected of a source's claims, by the source's name.
    """
    names = [name for name, node in graph.sources.items() if asker.sees(node.settings)]
    if not names:
        return None
    # Few columns of all tables, then all columns of a few rows: a hundred tables cost a hundred plans otherwise.
    parts = []
    for n, name in enumerate(names):
        table, cut = claims_cut(graph, name, asker)
        parts.append(f"SELECT {n} AS n, rowid AS place, {columns} FROM {restricted(table, cut)}")
    found = con.execute(f"SELECT n, list(place) FROM ({' UNION ALL '.join(parts)}) WHERE {test} GROUP BY n").fetchall()
    reads = [
        f"SELECT {selected(names[n])} FROM {claims_cut(graph, names[n], asker)[0]}"
        f" WHERE rowid IN ({', '.join(map(str, places))})"
        for n, places in sorted(found)
    ]
    return " UNION ALL ".join(reads) or None


def on_keys(keys: Iterable[UUID]) -> str:
    """SQL: whether a row is on one of some indicators, as far as its hash tells."""
    return f"kh IN (SELECT unnest([{', '.join(str(kh_of(each)) for each in keys)}]::UBIGINT[]))"
