"""Finds indicators among the claims that an asker may see: filters, pages by position, and counts by facet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.lookup import judge
from tipline.engine.paths import dicts
from tipline.engine.times import literal
from tipline.engine.views import DEFAULT_CONFIDENCE
from tipline.engine.visible import claims_seen, published_seen
from tipline.model.keys import key
from tipline.model.normalise import normalise_one
from tipline.model.policy import Policy
from tipline.model.refang import refang
from tipline.model.tlp import AMBER, NAMES

_EVERYTHING = Policy.allow_list()
MOST_VALUES = 10_000
_TOP = 20  # values of a facet
_NETWORK_BITS = {"ipv4", "ipv6"}


class Search(BaseModel):
    """What is looked for; all that is given has to hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(default="", max_length=2000, description="A value in any spelling, a part of one, or a network.")
    values: list[str] = Field(default_factory=list, max_length=MOST_VALUES, description="Exactly these values.")
    types: list[str] = Field(default_factory=list, max_length=100, description="Types.")
    sources: list[str] = Field(default_factory=list, max_length=1000, description="Claimed by one of these sources.")
    output: str | None = Field(default=None, description="Published by this output.")
    confidence: int | None = Field(default=None, ge=0, le=100, description="At least this confidence.")
    tlp: list[str] = Field(default_factory=list, max_length=5, description="TLP words.")
    tag: str | None = Field(default=None, max_length=500, description="A tag.")
    since: datetime | None = Field(default=None, description="Added at or after this moment (UTC).")
    until: datetime | None = Field(default=None, description="Added before this moment (UTC).")


def search(
    engine: Engine, asker: Asker, wanted: Search, *, limit: int = 100, after: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """A page of the indicators found, in order of value and type.

    Args:
        engine: the engine.
        asker: who asks.
        wanted: the filters.
        limit: indicators at most.
        after: (value, type) of the last one of the page before.

    Returns:
        For each: type, value, and claims (source, record, confidence, tlp, tags, added, ...).
    """
    with engine.lake.reading() as con:
        parts = _parts(con, engine, asker, wanted)
        if not parts:
            return []
        beyond = f"WHERE (value, type) > ({_text(after[0])}, {_text(after[1])})" if after else ""
        union = " UNION ALL ".join(f"SELECT value, type, key FROM ({part})" for part in parts.values())
        page = _first(con, f"SELECT * FROM ({union}) {beyond}", limit)
        claims = _claims(con, engine, asker, [row[2] for row in page])
    return [{"type": type_, "value": value, "claims": claims.get(number, [])} for value, type_, number in page]


def _first(con: duckdb.DuckDBPyConnection, query: str, limit: int) -> list[tuple[str, str, str]]:
    """The first indicators of claims: each once, though several sources and records may claim it."""
    number = 2 * limit
    while True:
        # To keep the first ones is much cheaper than to group all.
        rows = con.execute(
            f"SELECT value, type, key::VARCHAR FROM ({query}) ORDER BY value, type LIMIT {number}"
        ).fetchall()
        once = list(dict.fromkeys(rows))
        if len(once) >= limit or len(rows) < number:
            return once[:limit]
        number *= 4


def facets(engine: Engine, asker: Asker, wanted: Search) -> dict[str, Any]:
    """How many claims fulfil the filters: in all, and by type, source, TLP and tag (the most frequent ones)."""
    empty: dict[str, Any] = {"claims": 0, "types": {}, "sources": {}, "tlp": {}, "tags": {}}
    with engine.lake.reading() as con:
        parts = _parts(con, engine, asker, wanted)
        if not parts:
            return empty
        union = " UNION ALL ".join(
            f"SELECT type, {_text(name)} AS source, {_tlp(engine, name)} AS tlp, tags FROM ({part})"
            for name, part in parts.items()
        )
        rows = con.execute(
            f"SELECT type, source, tlp, count(*) FROM ({union}) GROUP BY type, source, tlp ORDER BY 4 DESC"
        ).fetchall()
        tags = con.execute(
            f"SELECT tag, count(*) AS n FROM (SELECT unnest(tags) AS tag FROM ({union}) WHERE len(tags) > 0)"
            f" GROUP BY tag ORDER BY n DESC, tag LIMIT {_TOP}"
        ).fetchall()
    found = {**empty, "tags": dict(tags)}
    for type_, source, tlp, number in rows:
        found["claims"] += number
        for facet, word in (("types", type_), ("sources", source), ("tlp", NAMES[tlp])):
            found[facet][word] = found[facet].get(word, 0) + number
    return found


def _parts(con: duckdb.DuckDBPyConnection, engine: Engine, asker: Asker, wanted: Search) -> dict[str, str]:
    """For each source that may have some: the query of its claims that fulfil the filters."""
    graph = engine.graph
    names = [name for name, node in graph.sources.items() if asker.sees(node.settings)]
    chosen = [name for name in names if not wanted.sources or name in wanted.sources]
    shared = _shared(con, wanted)
    if wanted.output is not None:
        output = graph.outputs.get(wanted.output)
        if output is None or not asker.sees(output.settings):
            return {}
        shared.append(f"key IN (SELECT key FROM {published_seen(graph, wanted.output, asker)})")
    return {name: _part(engine, asker, name, [*shared, *_own(engine, name, wanted)]) for name in chosen}


def _part(engine: Engine, asker: Asker, name: str, tests: list[str]) -> str:
    where = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT * FROM {claims_seen(engine.graph, name, asker)}{where}"


def _shared(con: duckdb.DuckDBPyConnection, wanted: Search) -> list[str]:
    """The filters that are the same for every source."""
    tests = [_by_text(wanted.text.strip())] if wanted.text.strip() else []
    if wanted.values:
        tests.append(_by_values(con, wanted.values))
    if wanted.types:
        tests.append(f"type IN ({', '.join(_text(word) for word in wanted.types)})")
    for moment, compared in ((wanted.since, ">="), (wanted.until, "<")):
        if moment is not None:
            tests.append(f"added {compared} {literal(moment.replace(tzinfo=None))}")
    return tests


def _own(engine: Engine, name: str, wanted: Search) -> list[str]:
    """The filters on what a source's settings fill in."""
    settings = engine.graph.sources[name].settings
    tests = []
    if wanted.confidence is not None:
        tests.append(f"{_confidence(engine, name)} >= {wanted.confidence}")
    if wanted.tlp:
        levels = [str(NAMES.index(word)) for word in wanted.tlp if word in NAMES]
        tests.append(f"{_tlp(engine, name)} IN ({', '.join(levels) or 'NULL'})")
    if wanted.tag is not None and wanted.tag not in settings.tags:
        tests.append(f"list_contains(tags, {_text(wanted.tag)})")
    return tests


def _by_text(text: str) -> str:
    """The indicator itself, what lies in it if it is a network, or else values with the text in them."""
    found = normalise_one(text, None, _EVERYTHING)
    if found.drop is None and found.type and found.value:
        if found.type in _NETWORK_BITS and found.lo:
            return f"(type = '{found.type}' AND lo >= '{found.lo}'::UUID AND up <= '{found.up}'::UUID)"
        if found.type != "domain":
            return f"key = '{key(found.type, found.value)}'"
    part = str(refang(pl.Series([text]))[0])
    return f"contains(lower(value), {_text(part.lower())})"


def _by_values(con: duckdb.DuckDBPyConnection, values: Sequence[str]) -> str:
    keys = [str(key(v.type, v.value)) for v in judge(list(values)) if v.drop is None and v.type and v.value]
    con.execute("CREATE OR REPLACE TEMP TABLE wanted_keys (key UUID)")
    if keys:
        con.execute("INSERT INTO wanted_keys SELECT unnest(?)::UUID", [keys])
    return "key IN (SELECT key FROM wanted_keys)"


def _claims(
    con: duckdb.DuckDBPyConnection, engine: Engine, asker: Asker, keys: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """The claims that an asker sees on some indicators, by key."""
    if not keys:
        return {}
    listed = ", ".join(f"'{each}'::UUID" for each in keys)
    columns = "key::VARCHAR AS key, record, tags, description, first_seen, last_seen, added, left_at"
    found: dict[str, list[dict[str, Any]]] = {}
    for name, node in engine.graph.sources.items():
        if asker.sees(node.settings):
            relation = claims_seen(engine.graph, name, asker)
            filled = f"{_confidence(engine, name)} AS confidence, {_tlp(engine, name)} AS tlp"
            query = f"SELECT {columns}, {filled} FROM {relation} WHERE key IN ({listed}) ORDER BY record"
            for row in dicts(con, query):
                row["tlp"] = NAMES[row["tlp"]]
                found.setdefault(row.pop("key"), []).append({"source": name, **row})
    return found


def _confidence(engine: Engine, name: str) -> str:
    """SQL: the confidence of a claim, or else what its source gives it."""
    usual = engine.graph.sources[name].settings.confidence
    return f"coalesce(confidence, {DEFAULT_CONFIDENCE if usual is None else usual})"


def _tlp(engine: Engine, name: str) -> str:
    settings = engine.graph.sources[name].settings
    return f"coalesce(tlp, {AMBER if settings.tlp is None else settings.tlp})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''").replace("\0", "") + "'"
