"""Looks values up in what is published: exact, covered by a network, or below a domain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import duckdb
import polars as pl

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.core import Engine
from tipline.engine.networks import BITS, NetworkCache, Networks
from tipline.engine.rows import dicts
from tipline.engine.visible import published_seen, without_names
from tipline.model.keys import kh
from tipline.model.normalise import conform, normalise_one
from tipline.model.policy import Policy
from tipline.model.verdict import Verdict

_EVERYTHING = Policy.allow_list()
# Up to so many hashes, each is a constant of its own, which skips all blocks but one; more are joined.
_FEW = 16
# From so many values on, judging them as a frame costs less than one by one.
_FRAME = 32
_COLUMNS = ("confidence", "sources", "since")
_NETWORKS: WeakKeyDictionary[Engine, NetworkCache] = WeakKeyDictionary()

# For each indicator (type, value) that would be a hit: the numbers of the values that it answers, and how.
Wanted = dict[tuple[str, str], list[tuple[int, str]]]


def lookup(
    engine: Engine, values: list[str], outputs: list[str] | None = None, asker: Asker = LOCAL
) -> list[dict[str, Any]]:
    """Look up values, in any spelling.

    Args:
        engine: the engine.
        values: what to look for; thousands at once are one query an output.
        outputs: where to look; all outputs unless given.
        asker: who asks; what they may not see is no hit.

    Returns:
        One entry a value, in order: value as given, its canonical form (or the reason it has none), and hits.
    """
    sought = Sought.of(judge(values))
    hits: dict[int, list[dict[str, Any]]] = defaultdict(list)
    with engine.lake.reading() as con:
        for name, output in engine.graph.outputs.items():
            if asker.sees(output.settings) and (outputs is None or name in outputs):
                for n, hit in held(con, engine, name, asker, sought, _COLUMNS):
                    hits[n].append({"output": name, **hit})
    return [
        {
            "asked": value,
            "type": v.type,
            "value": v.value,
            "problem": v.drop,
            "hits": without_names(engine.graph, asker, hits[n]) if n in hits else [],
        }
        for n, (value, v) in enumerate(zip(values, sought.judged, strict=True))
    ]


def judge(values: list[str]) -> list[Verdict]:
    """What each value is, in any spelling; many at once are judged as a frame."""
    if len(values) < _FRAME:
        return [normalise_one(value, None, _EVERYTHING) for value in values]
    frame = conform(pl.DataFrame({"value": values}, schema={"value": pl.String}), _EVERYTHING)
    columns = "type", pl.when(pl.col("drop").is_null()).then("value"), "lo", "up", "rhost", "extra", "drop"
    return [Verdict(*row) for row in frame.select(columns).iter_rows()]


@dataclass(frozen=True)
class Sought:
    """What is looked for: values as they were judged, and the indicators that answer by name, with their hashes."""

    judged: list[Verdict]
    named: Wanted
    hashes: list[int]

    @classmethod
    def of(cls, judged: list[Verdict]) -> Sought:
        """By name a value is answered by the same indicator, and by the domains above its host."""
        wanted: Wanted = defaultdict(list)
        for n, v in enumerate(judged):
            if v.type is None or v.value is None:
                continue
            wanted[v.type, v.value].append((n, "exact"))
            for parent in _domains_above(v.type, v.rhost) if v.rhost else ():
                wanted["domain", parent].append((n, "parent"))
        return cls(judged, dict(wanted), [kh(type_, value) for type_, value in wanted])


def _domains_above(type_: str, rhost: str) -> Iterator[str]:
    """The domains that a host lies below; for a URL the host itself, too."""
    labels = rhost.rstrip(".").split(".")
    for count in range(1, len(labels) + (type_ != "domain")):
        yield ".".join(reversed(labels[:count]))


def held(
    con: duckdb.DuckDBPyConnection,
    engine: Engine,
    output: str,
    asker: Asker,
    sought: Sought,
    columns: tuple[str, ...],
) -> list[tuple[int, dict[str, Any]]]:
    """What an output holds of what is looked for, as far as the asker sees it.

    Args:
        con: an open transaction.
        engine: the engine.
        output: an output that they see.
        asker: who asks.
        sought: what is looked for.
        columns: of what is published, besides type and value.

    Returns:
        Number of the value, and the hit: how (exact, parent, network), type, value, and the columns.
    """
    table = published_seen(engine.graph, output, asker)
    networks = _NETWORKS.setdefault(engine, NetworkCache()).get(con, engine.graph.ids[output])
    around: Wanted = defaultdict(list)
    for n, type_, network in networks.around(sought.judged):
        around[type_, network].append((n, "network"))
    hashes = [*sought.hashes, *(kh(*each) for each in around if each not in sought.named)]
    selected = ", ".join(("type", "value", *columns))
    found = []
    for row in _rows(con, table, hashes, selected):
        indicator = (row["type"], row["value"])
        found += [(n, how, row) for n, how in (*sought.named.get(indicator, ()), *around.get(indicator, ()))]
    found += [(row.pop("n"), "network", row) for row in _in_ranges(con, table, sought.judged, networks, columns)]
    found.sort(key=lambda hit: (hit[0], hit[1], hit[2]["type"], hit[2]["value"]))
    return [(n, {"how": how, **row}) for n, how, row in found]


def _rows(con: duckdb.DuckDBPyConnection, table: str, hashes: list[int], selected: str) -> list[dict[str, Any]]:
    """The rows of a published table that bear one of some hashes."""
    if len(hashes) <= _FEW:
        parts = [f"SELECT {selected} FROM {table} WHERE kh = {each}::UBIGINT" for each in hashes]
        return dicts(con, " UNION ALL ".join(parts)) if parts else []
    con.register("wanted_hashes", pl.DataFrame({"kh": hashes}, schema={"kh": pl.UInt64}).to_arrow())
    try:
        return dicts(con, f"SELECT {selected} FROM {table} WHERE kh IN (SELECT kh FROM wanted_hashes)")
    finally:
        con.unregister("wanted_hashes")


def _in_ranges(
    con: duckdb.DuckDBPyConnection,
    table: str,
    judged: list[Verdict],
    networks: Networks,
    columns: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Hits in ranges that are no networks (`n` is the value's number); the table is read for them."""
    ranged = {type_ for type_ in BITS if networks.has_ranges(type_)}
    asked = [
        (n, v.type, v.lo, v.up, v.value) for n, v in enumerate(judged) if v.type in ranged and v.lo and v.drop is None
    ]
    if not asked:
        return []
    frame = pl.DataFrame(asked, schema=["n", "type", "lo", "up", "value"], orient="row")
    con.register("asked_frame", frame.to_arrow())
    selected = ", ".join(f"p.{column}" for column in ("type", "value", *columns))
    try:
        return dicts(
            con,
            f"SELECT a.n, {selected} FROM {table} p JOIN (SELECT * REPLACE (lo::UUID AS lo, up::UUID AS up)"
            " FROM asked_frame) a ON a.type = p.type AND p.lo <= a.lo AND p.up >= a.up AND p.value <> a.value"
            " WHERE p.type IN ('ipv4', 'ipv6') AND contains(p.value, '-')",
        )
    finally:
        con.unregister("asked_frame")
