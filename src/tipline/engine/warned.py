"""What stands on warning lists: how many indicators, by list and source; and which entries a value stands on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import duckdb
import polars as pl

from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.visible import claims_seen
from tipline.engine.warnings import current_revision, in_use, numbers
from tipline.formats.warning_list import WarningListText
from tipline.model.addresses import Interval, spell
from tipline.model.hosts import canonical_host, reverse_host
from tipline.model.verdict import Verdict
from tipline.processors.warningentries import compiled
from tipline.processors.warningsql import NARROW, hits

_MOST = 8  # states that are remembered for each engine
_ENTRIES = 20  # of one list that a value stands on, at most
Cache = dict[tuple[Any, ...], "Counts"]
_CACHES: WeakKeyDictionary[Engine, Cache] = WeakKeyDictionary()
_LOCK = threading.Lock()


@dataclass
class Counts:
    """How many indicators stand on lists.

    Attributes:
        lists: by list: of all sources together, each once.
        by_source: by list, then by source.
        sources: by source: on any list.
    """

    lists: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, dict[str, int]] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)


def counts(engine: Engine, asker: Asker) -> Counts:
    """What of the feeds that an asker sees stands on lists in use."""
    configuration = engine.configuration
    names = [
        name
        for name, node in configuration.sources.items()
        if asker.sees(node.settings) and name not in configuration.allow_lists
    ]
    parts = {name: claims_seen(engine.graph, name, asker) for name in names}
    with engine.lake.reading() as con:
        commits = dict(con.execute("SELECT source, commit_no FROM source_state").fetchall())
        used = tuple(name for name, each in engine.graph.warning_lists.items() if each.enabled)
        positions = tuple((part, commits.get(engine.graph.ids[name])) for name, part in parts.items())
        state = (current_revision(con), used, positions)
        with _LOCK:
            cache = _CACHES.setdefault(engine, {})
            found = cache.get(state)
        if found is None:
            found = _counted(con, engine, parts)
            with _LOCK:
                if len(cache) >= _MOST:
                    cache.pop(next(iter(cache)))
                cache[state] = found
    return found


def _counted(con: duckdb.DuckDBPyConnection, engine: Engine, parts: dict[str, str]) -> Counts:
    known = {number: name for name, number in numbers(con).items()}
    every = " UNION ALL ".join(f"SELECT {NARROW} FROM {part}" for part in parts.values())
    query = hits(f"({every})", in_use(con, engine.graph)) if parts else None
    made = Counts()
    if query is None:
        return made
    con.execute(f"CREATE OR REPLACE TEMP TABLE warned AS {query}")
    rows = con.execute("SELECT list, count(*) FROM warned GROUP BY list").fetchall()
    made.lists = {known[number]: int(count) for number, count in rows}
    names = list(parts)
    held = " UNION ALL ".join(f"SELECT {n} AS n, key FROM {parts[name]}" for n, name in enumerate(names))
    among = f"(SELECT DISTINCT n, key FROM ({held}) SEMI JOIN warned USING (key))"
    rows = con.execute(f"SELECT n, list, count(*) FROM {among} JOIN warned USING (key) GROUP BY n, list").fetchall()
    for n, number, count in rows:
        made.by_source.setdefault(known[number], {})[names[n]] = int(count)
    rows = con.execute(f"SELECT n, count(*) FROM {among} GROUP BY n").fetchall()
    made.sources = {names[n]: int(count) for n, count in rows}
    return made


def standing(con: duckdb.DuckDBPyConnection, engine: Engine, judged: list[Verdict]) -> list[list[dict[str, Any]]]:
    """For each value the lists in use that it stands on: list, title, category, action, and entries.

    Args:
        con: an open transaction.
        engine: the engine.
        judged: what each value is.
    """
    found: list[list[dict[str, Any]]] = [[] for _ in judged]
    rows = [
        (n, each.type, each.value, each.lo, each.up, each.rhost)
        for n, each in enumerate(judged)
        if each.type and each.value
    ]
    schema = ["n", "type", "value", "lo", "up", "rhost"]
    types = {name: pl.Int64 if name == "n" else pl.String for name in schema}
    con.register("asked_values", pl.DataFrame(rows, schema=types, orient="row").to_arrow())
    relation = "(SELECT n AS key, type, value, lo::UUID AS lo, up::UUID AS up, rhost FROM asked_values)"
    query = hits(relation, in_use(con, engine.graph)) if rows else None
    names = {number: name for name, number in numbers(con).items()}
    pairs = con.execute(f"SELECT key, list FROM ({query})").fetchall() if query else []
    con.unregister("asked_values")
    for n, name in sorted((n, names[number]) for n, number in pairs):
        wanted = engine.graph.warning_lists[name]
        text = engine.warnings.text(wanted)
        found[n].append(
            {
                "list": name, "title": text.title if text else name, "category": wanted.category,
                "action": wanted.action, "entries": entries_of(text, judged[n]) if text else [],
            }
        )  # fmt: skip
    return found


def entries_of(text: WarningListText, asked: Verdict) -> list[str]:
    """The entries of a list that a value stands on, as far as they can be told: not those of expressions."""
    value, lo, up = asked.value or "", asked.lo or "", asked.up or ""
    if text.match == "cidr":
        nets = compiled(text).networks.filter((pl.col("lo") <= _hex(lo)) & (pl.col("up") >= _hex(up)))
        return [spell(_interval(*row)) for row in nets.head(_ENTRIES).iter_rows()]
    if text.match == "substring":
        return [entry for entry in text.entries if entry.lower() in value.lower()][:_ENTRIES]
    if text.match == "regex":
        return []
    labels = (asked.rhost or "").rstrip(".").split(".") if asked.rhost else []
    above = {".".join(labels[:n]) + "." for n in range(1, len(labels) + 1)}
    below = (entry for entry in text.entries if text.match == "hostname" or entry.startswith((".", "*.")))
    found = [entry for entry in below if _reversed(entry, labels) in above]
    exact = [entry for entry in text.entries if text.match == "string" and value in {entry, entry.lower()}]
    return [*exact, *found][:_ENTRIES]


def _reversed(entry: str, labels: list[str]) -> str | None:
    # Almost every entry ends otherwise: only the others are worth reading.
    if not labels or not entry.rstrip(".").lower().endswith(labels[0]):
        return None
    host = canonical_host(entry.removeprefix("*").removeprefix("."))
    return reverse_host(host) if host else None


def _hex(uuid: str) -> str:
    return uuid.replace("-", "")


def _interval(family: int, lo: str, up: str) -> Interval:
    shift = 0xFFFF << 32 if family == 4 else 0
    return Interval(family, int(lo, 16) - shift, int(up, 16) - shift - 1)
