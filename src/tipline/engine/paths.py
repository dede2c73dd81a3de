"""Why an indicator is where it is: its claims, what each node did with it, and who holds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import duckdb

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.core import Engine
from tipline.engine.evaluate import current_positions
from tipline.engine.graph import Audience
from tipline.engine.times import iso
from tipline.engine.views import Views
from tipline.engine.visible import claims_seen, published_seen, seen, without_names
from tipline.errors import TiplineError
from tipline.model.keys import key
from tipline.model.normalise import normalise_one
from tipline.model.policy import Policy
from tipline.model.reasons import DROP_REASONS
from tipline.model.tlp import AMBER, RED
from tipline.sources.base import EXACT
from tipline.store.control import RECEIPTS
from tipline.store.records import rows
from tipline.store.schema import OPS, VIEW_COLUMNS, log_table, published_table

_EVERYTHING = Policy.allow_list()
_HISTORY = 20
# An allow-list entry that means its very value covers nothing else.
_MEANT = f"(key = '{{key}}' OR NOT list_contains(coalesce(tags, []), '{EXACT}'))"


class NotAnIndicatorError(TiplineError):
    """The value asked for is no indicator."""

    code = "request"


@dataclass(frozen=True)
class Asked:
    """A value as tipline writes it, with what finds it and what covers it."""

    type: str
    value: str
    key: UUID
    lo: str | None
    up: str | None
    rhost: str | None


def canonical(value: str, type_: str | None = None) -> Asked:
    """A value as tipline writes it.

    Raises:
        NotAnIndicatorError: it is none; the message says why.
    """
    found = normalise_one(value, type_, _EVERYTHING)
    if found.drop or found.type is None or found.value is None:
        reason = DROP_REASONS.get(found.drop or "", "its type cannot be told")
        raise NotAnIndicatorError(f"{value!r} is no indicator: {reason}", fix="give an address, domain, URL, hash ...")
    return Asked(found.type, found.value, key(found.type, found.value), found.lo, found.up, found.rhost)


def why(engine: Engine, value: str, type_: str | None = None, asker: Asker = LOCAL) -> dict[str, Any]:
    """Everything known about a value and what covers it, as far as the asker may know it.

    Returns:
        indicator, claims (one a source and record), nodes (what each did), outputs (held since when), log, receipts.
    """
    asked = canonical(value, type_)
    with engine.lake.writing() as con:
        claims = _claims(con, engine, asked, asker)
        steps = _steps(con, engine, asked, [claim["key"] for claim in claims], asker)
        held = _published(con, engine, asked, asker)
        history = _history(con, engine, {claim["key"] for claim in claims} | {str(asked.key)}, asker)
    keys = {claim["key"].replace("-", "") for claim in claims} | {entry["key"].replace("-", "") for entry in held}
    keys.add(asked.key.hex)
    return {
        "indicator": {"type": asked.type, "value": asked.value, "key": str(asked.key)},
        "claims": [{k: v for k, v in claim.items() if k != "key"} for claim in claims],
        "nodes": without_names(engine.graph, asker, steps),
        "outputs": without_names(engine.graph, asker, [{k: v for k, v in row.items() if k != "key"} for row in held]),
        "log": without_names(engine.graph, asker, history),
        "receipts": _receipts(engine, keys, asker),
    }


def still_held(engine: Engine, value: str, type_: str | None, outputs: Iterable[str]) -> list[dict[str, Any]]:
    """What some outputs hold of a value, or of what covers it: output, type and value."""
    asked = canonical(value, type_)
    found = []
    with engine.lake.reading() as con:
        for name in outputs:
            table = published_table(engine.graph.ids[name])
            query = f"SELECT type, value FROM {table} WHERE {covering(asked)} ORDER BY type, value LIMIT 20"
            found += [{"output": name, **row} for row in dicts(con, query)]
    return found


def covering(asked: Asked, alias: str = "") -> str:
    """SQL: whether a row is the indicator asked for, or a network or domain that covers it."""
    p = f"{alias}." if alias else ""
    tests = [f"{p}key = '{asked.key}'"]
    if asked.lo and asked.type in {"ipv4", "ipv6"}:
        tests.append(f"({p}type = '{asked.type}' AND {p}lo <= '{asked.lo}'::UUID AND {p}up >= '{asked.up}'::UUID)")
    if asked.rhost:
        labels = asked.rhost.rstrip(".").split(".")
        parents = ["'" + ".".join(labels[:n]).replace("'", "''") + ".'" for n in range(1, len(labels) + 1)]
        tests.append(f"({p}type = 'domain' AND {p}rhost IN ({', '.join(parents)}))")
    return "(" + " OR ".join(tests) + ")"


def _claims(con: duckdb.DuckDBPyConnection, engine: Engine, asked: Asked, asker: Asker) -> list[dict[str, Any]]:
    found = []
    for name, source in engine.graph.sources.items():
        if not asker.sees(source.settings):
            continue
        table = claims_seen(engine.graph, name, asker)
        query = (
            "SELECT key::VARCHAR AS key, type, value, record, confidence, tlp, actionable, tags, threat_types,"
            " description, first_seen, last_seen, valid_until, added, left_at"
            f" FROM {table} WHERE {covering(asked)} AND {_MEANT.format(key=asked.key)} ORDER BY value, record LIMIT 100"
        )
        allow_list = name in engine.configuration.allow_lists
        found += [{"source": name, "allow_list": allow_list, **row} for row in dicts(con, query)]
    return found


def _steps(
    con: duckdb.DuckDBPyConnection, engine: Engine, asked: Asked, keys: list[str], asker: Asker
) -> list[dict[str, Any]]:
    """What each node does with the indicator on the way to the asker's outputs, by evaluating the views on it alone."""
    graph = engine.graph
    now = engine.clock()
    moments = {name: position.moment for name, position in current_positions(con, graph, now).items()}
    listed = ", ".join(f"('{key}'::UUID)" for key in {*keys, str(asked.key)})
    con.execute(f"CREATE OR REPLACE TEMP TABLE slice AS SELECT * FROM (VALUES {listed}) t(key)")
    steps: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    visible = set(seen(graph, asker))
    theirs = [name for name, output in graph.outputs.items() if asker.owns(output.settings)]
    for audience in dict.fromkeys(graph.audience(name) for name in theirs):
        views = Views(con, graph, audience, now, moments, sliced=True, asker=asker)
        try:
            for output in (name for name in theirs if graph.audience(name) == audience):
                for node in [*graph.feeds(output), *graph.upstream(output)]:
                    relation = views.node(node).name
                    if node in visible:
                        owns = asker.owns(engine.configuration.settings_of(node))
                        shown = relation if owns else f"{relation} WHERE coalesce(tlp, {AMBER}) < {RED}"
                        _note_steps(con, node, shown, steps, output)
                final = views.output(output)
                for relation in views.steps[output]:
                    _note_steps(con, output, f"{relation} WHERE dropped IS NOT NULL", steps, output)
                _note_steps(con, output, final.live, steps, output)
        finally:
            views.close()
    return list(steps.values())


def _note_steps(
    con: duckdb.DuckDBPyConnection,
    node: str,
    relation: str,
    steps: dict[tuple[str, str, str | None], dict[str, Any]],
    output: str,
) -> None:
    """Note what a node decided, and on the way to which outputs: their audiences may differ."""
    query = (
        f"SELECT value, type, dropped, confidence, sources FROM {relation} ORDER BY dropped NULLS FIRST, value LIMIT 50"
    )
    for row in dicts(con, query):
        decision = "dropped" if row["dropped"] else "passed on"
        entry = {
            "node": node,
            "value": row["value"],
            "type": row["type"],
            "decision": decision,
            "reason": row["dropped"],
            "confidence": row["confidence"],
            "sources": row["sources"],
            "outputs": [],
        }
        ways = steps.setdefault((node, row["value"], row["dropped"]), entry)["outputs"]
        if output not in ways and output != node:
            ways.append(output)


def _published(con: duckdb.DuckDBPyConnection, engine: Engine, asked: Asked, asker: Asker) -> list[dict[str, Any]]:
    found = []
    for name, output in engine.graph.outputs.items():
        if not asker.sees(output.settings):
            continue
        table = published_seen(engine.graph, name, asker)
        query = (
            "SELECT key::VARCHAR AS key, type, value, confidence, sources, tlp, valid_until, since"
            f" FROM {table} WHERE {covering(asked)} ORDER BY value LIMIT 100"
        )
        found += [{"output": name, **row} for row in dicts(con, query)]
    return found


def _history(con: duckdb.DuckDBPyConnection, engine: Engine, keys: Iterable[str], asker: Asker) -> list[dict[str, Any]]:
    listed = ", ".join(f"'{key}'" for key in keys)
    parts = [
        f"SELECT '{name}' AS output, seq, stamp AS moment, op, value, reason FROM {log_table(engine.graph.ids[name])}"
        f" WHERE key IN ({listed})"
        for name, output in engine.graph.outputs.items()
        if asker.owns(output.settings)
    ]
    if not parts:
        return []
    query = f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY moment DESC, seq DESC, output LIMIT {_HISTORY}"
    return [{**row, "op": OPS[row["op"]]} for row in dicts(con, query)]


def _receipts(engine: Engine, keys: set[str], asker: Asker) -> list[dict[str, Any]]:
    theirs = [name for name, output in engine.graph.outputs.items() if asker.owns(output.settings)]
    where = [] if asker.everywhere else [RECEIPTS.c.output.in_(theirs)]
    found = rows(engine.control, RECEIPTS, RECEIPTS.c.key.in_(keys), *where)
    fields = ("output", "type", "value", "state", "far_id", "reason", "accepted_at", "expires", "attempts")
    return [{f: iso(row[f]) if f in {"accepted_at", "expires"} else row[f] for f in fields} for row in found]


def dicts(con: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> list[dict[str, Any]]:
    """Rows of a query as dicts, moments as ISO text."""
    cursor = con.execute(query, parameters or [])
    names = [column[0] for column in cursor.description or []]
    return [
        {n: iso(v) if hasattr(v, "isoformat") else v for n, v in zip(names, row, strict=True)}
        for row in cursor.fetchall()
    ]


def listing(
    engine: Engine, node: str, limit: int = 1000, offset: int = 0, asker: Asker = LOCAL
) -> list[dict[str, Any]]:
    """What a node holds now: claims of a source, live rows of a processor, published rows of an output.

    The node is one that the asker sees.
    """
    graph = engine.graph
    if node in graph.outputs:
        source = f"SELECT {VIEW_COLUMNS}, since FROM {published_seen(graph, node, asker)}"
    elif node in graph.sources:
        source = f"SELECT * EXCLUDE (digest, line) FROM {claims_seen(graph, node, asker)}"
    else:
        return without_names(graph, asker, _processor_listing(engine, node, limit, offset, asker))
    query = f"SELECT * FROM ({source}) ORDER BY type, value LIMIT {limit} OFFSET {offset}"
    with engine.lake.reading() as con:
        return without_names(graph, asker, _readable(dicts(con, query)))


def _processor_listing(engine: Engine, node: str, limit: int, offset: int, asker: Asker) -> list[dict[str, Any]]:
    graph = engine.graph
    if node not in graph.processors:
        raise NotAnIndicatorError(
            f"there is no node {node}", fix=f"there are: {', '.join(engine.configuration.nodes())}"
        )
    output = next(name for name in graph.outputs if node in graph.upstream(name))
    with engine.lake.writing() as con:
        now = engine.clock()
        moments = {name: p.moment for name, p in current_positions(con, graph, now).items()}
        audience = graph.audience(output)
        if not asker.everywhere and audience.team != asker.team:
            audience = Audience(asker.team, audience.max_tlp, audience.actionable_only)
        views = Views(con, graph, audience, now, moments, sliced=False)
        try:
            live = views.node(node).live
            return _readable(dicts(con, f"SELECT * FROM {live} ORDER BY type, value LIMIT {limit} OFFSET {offset}"))
        finally:
            views.close()


def _readable(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    hidden = {"key", "kh", "lo", "up", "rhost", "dropped"}
    return [{k: v for k, v in row.items() if k not in hidden} for row in found]
