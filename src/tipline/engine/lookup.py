"""Looks values up in what is published: exact, covered by a network, or below a domain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import duckdb
import polars as pl

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.core import Engine
from tipline.engine.networks import BITS, NetworkCache, Networks, networks_around
from tipline.engine.paths import dicts
from tipline.engine.visible import published_seen, without_names
from tipline.model.keys import key, kh, kh_of
from tipline.model.normalise import conform, normalise_one
from tipline.model.policy import Policy
from tipline.model.verdict import Verdict

_EVERYTHING = Policy.allow_list()
# Up to so many hashes, each is a constant of its own, which skips all blocks but one; more are joined.
_FEW = 16
# From so many values on, judging them as a frame costs less than one by one.
_FRAME = 32
_COLUMNS = "p.key, p.type, p.value, p.confidence, p.sources, p.since"
_NETWORKS: WeakKeyDictionary[Engine, NetworkCache] = WeakKeyDictionary()

# For each key that would be a hit: the numbers of the values that it answers, and how.
Wanted = dict[UUID, list[tuple[int, str]]]


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
    judged = judge(values)
    named = _named(judged)
    hits: dict[int, list[dict[str, Any]]] = defaultdict(list)
    with engine.lake.reading() as con:
        for name, output in engine.graph.outputs.items():
            if asker.sees(output.settings) and (outputs is None or name in outputs):
                table = published_seen(engine.graph, name, asker)
                for n, hit in _in_output(con, engine, engine.graph.ids[name], table, judged, named):
                    hits[n].append({"output": name, **hit})
    return [
        {
            "asked": value,
            "type": v.type,
            "value": v.value,
            "problem": v.drop,
            "hits": without_names(engine.graph, asker, hits.get(n, [])),
        }
        for n, (value, v) in enumerate(zip(values, judged, strict=True))
    ]


def judge(values: list[str]) -> list[Verdict]:
    """What each value is, in any spelling; many at once are judged as a frame."""
    if len(values) < _FRAME:
        return [normalise_one(value, None, _EVERYTHING) for value in values]
    frame = conform(pl.DataFrame({"value": values}, schema={"value": pl.String}), _EVERYTHING)
    columns = "type", pl.when(pl.col("drop").is_null()).then("value"), "lo", "up", "rhost", "extra", "drop"
    return [Verdict(*row) for row in frame.select(columns).iter_rows()]


def _named(judged: list[Verdict]) -> Wanted:
    """What answers a value by name: the same indicator, and the domains above its host."""
    wanted: Wanted = defaultdict(list)
    for n, v in enumerate(judged):
        if v.type is None or v.value is None:
            continue
        wanted[key(v.type, v.value)].append((n, "exact"))
        for parent in _domains_above(v.type, v.rhost) if v.rhost else ():
            wanted[key("domain", parent)].append((n, "parent"))
    return wanted


def _domains_above(type_: str, rhost: str) -> Iterator[str]:
    """The domains of two labels or more that a host lies below; for a URL the host itself, too."""
    labels = rhost.rstrip(".").split(".")
    for count in range(2, len(labels) + (type_ != "domain")):
        yield ".".join(reversed(labels[:count]))


def _in_output(
    con: duckdb.DuckDBPyConnection, engine: Engine, number: int, table: str, judged: list[Verdict], named: Wanted
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the value, hit) for every hit in one output."""
    networks = _NETWORKS.setdefault(engine, NetworkCache()).get(con, number)
    around = _around(judged, networks)
    found = [
        (n, how, row)
        for row in _rows(con, table, [*named, *(each for each in around if each not in named)])
        for n, how in [*named.get(row["key"], ()), *around.get(row["key"], ())]
    ]
    found += [(row.pop("n"), "network", row) for row in _in_ranges(con, table, judged, networks)]
    found.sort(key=lambda hit: (hit[0], hit[1], hit[2]["type"], hit[2]["value"]))
    for n, how, row in found:
        yield n, {"how": how, **{name: value for name, value in row.items() if name != "key"}}


def _around(judged: list[Verdict], networks: Networks) -> Wanted:
    """The networks of an output that hold one of the values and more."""
    prefixes = {type_: networks.prefixes(type_) for type_ in BITS}
    tried = [
        (n, v.type, network)
        for n, v in enumerate(judged)
        if v.type in prefixes and v.lo and v.up and v.drop is None
        for network in networks_around(v.type, v.lo, v.up, prefixes[v.type])
    ]
    wanted: Wanted = defaultdict(list)
    hold = networks.hold([kh(type_, network) for _, type_, network in tried])
    for place in hold.nonzero()[0].tolist():
        n, type_, network = tried[place]
        wanted[key(type_, network)].append((n, "network"))
    return wanted


def _rows(con: duckdb.DuckDBPyConnection, table: str, keys: list[UUID]) -> list[dict[str, Any]]:
    """The rows of a published table that bear one of the hashes of these keys."""
    hashes = [kh_of(each) for each in keys]
    if len(hashes) <= _FEW:
        parts = [f"SELECT {_COLUMNS} FROM {table} p WHERE p.kh = {each}::UBIGINT" for each in hashes]
        return dicts(con, " UNION ALL ".join(parts)) if parts else []
    con.register("wanted_hashes", pl.DataFrame({"kh": hashes}, schema={"kh": pl.UInt64}).to_arrow())
    try:
        return dicts(con, f"SELECT {_COLUMNS} FROM {table} p WHERE p.kh IN (SELECT kh FROM wanted_hashes)")
    finally:
        con.unregister("wanted_hashes")


def _in_ranges(
    con: duckdb.DuckDBPyConnection, table: str, judged: list[Verdict], networks: Networks
) -> list[dict[str, Any]]:
    """Hits in ranges that are no networks (`n` is the value's number); the table is read for them."""
    ranged = {type_ for type_ in BITS if networks.has_ranges(type_)}
    asked = [
        (n, v.type, v.lo, v.up, str(key(v.type, v.value or "")))
        for n, v in enumerate(judged)
        if v.type in ranged and v.lo and v.drop is None
    ]
    if not asked:
        return []
    con.register("asked_frame", pl.DataFrame(asked, schema=["n", "type", "lo", "up", "key"], orient="row").to_arrow())
    try:
        return dicts(
            con,
            f"SELECT a.n, {_COLUMNS} FROM {table} p JOIN (SELECT n, type, lo::UUID AS lo, up::UUID AS up,"
            " key::UUID AS key FROM asked_frame) a ON a.type = p.type AND p.lo <= a.lo AND p.up >= a.up"
            " AND p.key <> a.key WHERE p.type IN ('ipv4', 'ipv6') AND contains(p.value, '-')",
        )
    finally:
        con.unregister("asked_frame")
