"""Why an indicator is where it is: its claims, what each node did with it, and who holds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import duckdb

from tipline.engine.asker import LOCAL, Asker
from tipline.engine.claimed import claimed
from tipline.engine.core import Engine
from tipline.engine.filters import quoted
from tipline.engine.lookup import Sought, held
from tipline.engine.positions import current_positions
from tipline.engine.rows import dicts
from tipline.engine.times import iso
from tipline.engine.views import Views
from tipline.engine.visible import seen, without_names
from tipline.engine.warned import standing
from tipline.errors import TiplineError
from tipline.model.keys import key, kh
from tipline.model.normalise import normalise_one
from tipline.model.policy import Policy
from tipline.model.reasons import DROP_REASONS
from tipline.model.tlp import AMBER, RED
from tipline.model.verdict import Verdict
from tipline.sources.base import EXACT
from tipline.store.control import RECEIPTS
from tipline.store.records import rows
from tipline.store.schema import OPS, log_table

_EVERYTHING = Policy.allow_list()
_HISTORY = 20
_MOST = 100  # claims of a source, and rows of an output, that are told
_ADDRESSES = {"ipv4", "ipv6"}
_CLAIM = (
    "key, type, value, lo, up, rhost, record, confidence, tlp, actionable, tags, threat_types, description,"
    " first_seen, last_seen, valid_until, added, left_at"
)
_IN_SOURCE = "row_number() OVER (PARTITION BY source ORDER BY value, record)"
_PUBLISHED = ("confidence", "sources", "tlp", "valid_until", "since")
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
        indicator, claims (one a source and record), nodes (what each did), outputs (held since when), log, receipts,
        warning_lists (those that it stands on).
    """
    asked = canonical(value, type_)
    with engine.lake.reading() as con:
        (on_lists,) = standing(con, engine, [Verdict(asked.type, asked.value, asked.lo, asked.up, asked.rhost)])
        claims = _claims(con, engine, asked, asker)
        steps = _steps(con, engine, asked, claims, asker)
        published = _published(con, engine, asked, asker, engine.graph.outputs)
        keys = {asked.key, *(claim["key"] for claim in claims)}
        history = _history(con, engine, keys, asker)
    keys |= {key(row["type"], row["value"]) for row in published}
    hidden = {"key", "lo", "up", "rhost"}
    return {
        "indicator": {"type": asked.type, "value": asked.value, "key": str(asked.key)},
        "claims": [{k: v for k, v in claim.items() if k not in hidden} for claim in claims],
        "nodes": without_names(engine.graph, asker, steps),
        "outputs": without_names(engine.graph, asker, published),
        "log": without_names(engine.graph, asker, history),
        "receipts": _receipts(engine, {each.hex for each in keys}, asker),
        "warning_lists": on_lists,
    }


def still_held(
    engine: Engine, value: str, type_: str | None, outputs: Iterable[str], asker: Asker = LOCAL
) -> list[dict[str, Any]]:
    """What some outputs hold of a value, or of what covers it: output, type and value."""
    asked = canonical(value, type_)
    with engine.lake.reading() as con:
        found = _published(con, engine, asked, asker, outputs)
    return [{name: row[name] for name in ("output", "type", "value")} for row in found]


def _claims(con: duckdb.DuckDBPyConnection, engine: Engine, asked: Asked, asker: Asker) -> list[dict[str, Any]]:
    """The claims on the indicator and on the networks and domains that cover it, source by source."""
    order = {name: n for n, name in enumerate(engine.graph.sources)}

    def selected(name: str) -> str:
        return f"{quoted(name)} AS source, {name in engine.configuration.allow_lists} AS allow_list, {_CLAIM}"

    query = claimed(con, engine.graph, asker, *_perhaps(asked), selected)
    if query is None:
        return []
    where = f"{_covering(asked)} AND {_MEANT.format(key=asked.key)}"
    found = dicts(con, f"SELECT * FROM ({query}) WHERE {where} QUALIFY {_IN_SOURCE} <= {_MOST} ORDER BY value, record")
    return sorted(found, key=lambda claim: order[claim["source"]])


def _perhaps(asked: Asked) -> tuple[str, str]:
    """SQL on a few columns that is true of all that covers the indicator, and of little more; and these columns."""
    names = [(asked.type, asked.value), *(("domain", parent) for parent in _above(asked))]
    hashes = ", ".join(f"{kh(*name)}::UBIGINT" for name in names)
    if asked.lo is None or asked.type not in _ADDRESSES:
        return f"kh IN ({hashes})", "kh"
    return f"(kh IN ({hashes}) OR (lo <= '{asked.lo}'::UUID AND up >= '{asked.up}'::UUID))", "kh, lo, up"


def _covering(asked: Asked) -> str:
    """SQL: whether a row is the indicator asked for, or a network or domain that covers it."""
    tests = [f"key = '{asked.key}'"]
    if asked.lo and asked.type in _ADDRESSES:
        tests.append(f"(type = '{asked.type}' AND lo <= '{asked.lo}'::UUID AND up >= '{asked.up}'::UUID)")
    if asked.rhost:
        tests.append(f"(type = 'domain' AND value IN ({', '.join(map(quoted, _above(asked)))}))")
    return "(" + " OR ".join(tests) + ")"


def _above(asked: Asked) -> list[str]:
    """The domain of an indicator's host, and those above it."""
    labels = asked.rhost.rstrip(".").split(".") if asked.rhost else []
    return [".".join(reversed(labels[:n])) for n in range(1, len(labels) + 1)]


def _steps(
    con: duckdb.DuckDBPyConnection, engine: Engine, asked: Asked, claims: list[dict[str, Any]], asker: Asker
) -> list[dict[str, Any]]:
    """What each node does with the indicator on the way to the asker's outputs, by evaluating the views on it alone."""
    graph = engine.graph
    now = engine.clock()
    moments = {name: position.moment for name, position in current_positions(con, graph, now).items()}
    _slice(con, asked, claims)
    steps: dict[tuple[str, str, str | None], dict[str, Any]] = {}
    visible = set(seen(graph, asker))
    theirs = [name for name, output in graph.outputs.items() if asker.owns(output.settings)]
    for audience in dict.fromkeys(graph.audience(name) for name in theirs):
        views = Views(con, graph, audience, now, moments, sliced=True, asker=asker)
        try:
            for output in (name for name in theirs if graph.audience(name) == audience):
                for node in [*graph.feeds(output), *graph.upstream(output)]:
                    relation = views.node(node)
                    if node in visible and views.rows(relation):
                        owns = asker.owns(engine.configuration.settings_of(node))
                        shown = relation.name if owns else f"{relation.name} WHERE coalesce(tlp, {AMBER}) < {RED}"
                        _note_steps(con, node, shown, steps, output)
                final = views.output(output)
                for step in views.steps[output]:
                    _note_steps(con, output, f"{step} WHERE dropped IS NOT NULL", steps, output)
                if views.rows(final):
                    _note_steps(con, output, final.live, steps, output)
        finally:
            views.close()
    return list(steps.values())


def _slice(con: duckdb.DuckDBPyConnection, asked: Asked, claims: list[dict[str, Any]]) -> None:
    """Have the views look at nothing but the indicator and what covers it."""
    rows = {asked.key: (asked.type, asked.lo, asked.up, asked.rhost)}
    rows |= {claim["key"]: (claim["type"], claim["lo"], claim["up"], claim["rhost"]) for claim in claims}
    listed = ", ".join(
        f"({', '.join('NULL' if each is None else quoted(str(each)) for each in (key_, *row))})"
        for key_, row in rows.items()
    )
    con.execute(
        "CREATE OR REPLACE TEMP TABLE slice AS SELECT key::UUID AS key, type, lo::UUID AS lo, up::UUID AS up,"
        f" rhost::VARCHAR AS rhost FROM (VALUES {listed}) t(key, type, lo, up, rhost)"
    )


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


def _published(
    con: duckdb.DuckDBPyConnection, engine: Engine, asked: Asked, asker: Asker, outputs: Iterable[str]
) -> list[dict[str, Any]]:
    sought = Sought.of([Verdict(asked.type, asked.value, asked.lo, asked.up, asked.rhost)])
    found = []
    for name in outputs:
        if asker.sees(engine.graph.outputs[name].settings):
            hits = [hit for _, hit in held(con, engine, name, asker, sought, _PUBLISHED)]
            hits = sorted(hits, key=lambda hit: str(hit["value"]))[:_MOST]
            found += [{"output": name, **{k: v for k, v in hit.items() if k != "how"}} for hit in hits]
    return found


def _history(con: duckdb.DuckDBPyConnection, engine: Engine, keys: set[UUID], asker: Asker) -> list[dict[str, Any]]:
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
