"""What a search looks for, as conditions on the claims that an asker may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.leaves import DEFAULT_CONFIDENCE
from tipline.engine.lookup import judge
from tipline.engine.times import literal
from tipline.engine.visible import claims_cut, published_seen, restricted
from tipline.engine.warnings import in_use, numbers
from tipline.model.keys import key, kh
from tipline.model.normalise import normalise_one
from tipline.model.policy import Policy
from tipline.model.refang import refang
from tipline.model.tlp import AMBER, NAMES
from tipline.processors.warningsql import NARROW, Entries, hits

MOST_VALUES = 10_000
_EVERYTHING = Policy.allow_list()
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


@dataclass(frozen=True)
class Matching:
    """The claims that fulfil filters, as SQL.

    Attributes:
        parts: for each source that may have some: its table and the conditions on it (`FROM <part>`).
        keys: a query of the only keys that count; none if all do.
        temporary: whether the conditions speak of temporary tables of this connection.
    """

    parts: dict[str, str]
    keys: str | None = None
    temporary: bool = False

    def union(self, columns: dict[str, str]) -> str:
        """The claims of some sources: the columns selected (comma separated) of each, by its name."""
        every = " UNION ALL ".join(f"SELECT {selected} FROM {self.parts[name]}" for name, selected in columns.items())
        return every if self.keys is None else f"SELECT * FROM ({every}) WHERE key IN ({self.keys})"


def matching(con: duckdb.DuckDBPyConnection, engine: Engine, asker: Asker, wanted: Search) -> Matching:
    """The claims that an asker sees and that fulfil filters."""
    graph, keys = engine.graph, None
    if wanted.output is not None:
        output = graph.outputs.get(wanted.output)
        if output is None or not asker.sees(output.settings):
            return Matching({})
        keys = f"SELECT key FROM {published_seen(graph, wanted.output, asker)}"
    shared = _shared(con, wanted)
    listed = _list_of(con, engine, wanted.tag)
    parts = {}
    for name, node in graph.sources.items():
        if asker.sees(node.settings) and (not wanted.sources or name in wanted.sources):
            table, cut = claims_cut(graph, name, asker)
            tests = [*cut, *shared, *_own(engine, name, wanted, tagged=listed is None)]
            parts[name] = restricted(table, tests)
    if listed is not None:
        feeds = {name: part for name, part in parts.items() if name not in engine.configuration.allow_lists}
        return Matching(_on_list(con, feeds, listed), keys, temporary=True)
    return Matching(parts, keys, temporary=bool(wanted.values))


def confidence_of(engine: Engine, name: str) -> str:
    """SQL: the confidence of a claim, or else what its source gives it."""
    usual = engine.graph.sources[name].settings.confidence
    return f"coalesce(confidence, {DEFAULT_CONFIDENCE if usual is None else usual})"


def tlp_of(engine: Engine, name: str) -> str:
    """SQL: the TLP of a claim, or else what its source gives it."""
    settings = engine.graph.sources[name].settings
    return f"coalesce(tlp, {AMBER if settings.tlp is None else settings.tlp})"


def quoted(value: str) -> str:
    """SQL: a text as a constant."""
    return "'" + value.replace("'", "''").replace("\0", "") + "'"


def _shared(con: duckdb.DuckDBPyConnection, wanted: Search) -> list[str]:
    """The filters that are the same for every source."""
    tests = [_by_text(wanted.text.strip())] if wanted.text.strip() else []
    if wanted.values:
        tests.append(_by_values(con, wanted.values))
    if wanted.types:
        tests.append(f"type IN ({', '.join(quoted(word) for word in wanted.types)})")
    for moment, compared in ((wanted.since, ">="), (wanted.until, "<")):
        if moment is not None:
            tests.append(f"added {compared} {literal(moment.replace(tzinfo=None))}")
    return tests


def _own(engine: Engine, name: str, wanted: Search, *, tagged: bool) -> list[str]:
    """The filters on what a source's settings fill in."""
    settings = engine.graph.sources[name].settings
    tests = []
    if wanted.confidence is not None:
        tests.append(f"{confidence_of(engine, name)} >= {wanted.confidence}")
    if wanted.tlp:
        levels = [str(NAMES.index(word)) for word in wanted.tlp if word in NAMES]
        tests.append(f"{tlp_of(engine, name)} IN ({', '.join(levels) or 'NULL'})")
    if tagged and wanted.tag is not None and wanted.tag not in settings.tags:
        tests.append(f"list_contains(tags, {quoted(wanted.tag)})")
    return tests


def _list_of(con: duckdb.DuckDBPyConnection, engine: Engine, tag: str | None) -> dict[int, Entries] | None:
    """The warning list that a tag stands for, which claims do not have themselves; None if it is no such tag."""
    used = {each.tag: name for name, each in engine.graph.warning_lists.items() if each.enabled}
    if tag not in used:
        return None
    number = numbers(con).get(used[tag])
    return {n: each for n, each in in_use(con, engine.graph).items() if n == number}


def _on_list(con: duckdb.DuckDBPyConnection, parts: dict[str, str], listed: dict[int, Entries]) -> dict[str, str]:
    """Of some claims those that stand on a warning list."""
    query = hits(f"({' UNION ALL '.join(f'SELECT {NARROW} FROM {part}' for part in parts.values())})", listed)
    if query is None or not parts:
        return {}
    con.execute(f"CREATE OR REPLACE TEMP TABLE listed_keys AS SELECT key FROM ({query})")
    test = "key IN (SELECT key FROM listed_keys)"
    return {name: f"{part} {'AND' if ' WHERE ' in part else 'WHERE'} {test}" for name, part in parts.items()}


def _by_text(asked: str) -> str:
    """The indicator itself, what lies in it if it is a network, or else values with the text in them."""
    found = normalise_one(asked, None, _EVERYTHING)
    if found.drop is None and found.type and found.value:
        if found.type in _NETWORK_BITS and found.lo:
            return f"(type = '{found.type}' AND lo >= '{found.lo}'::UUID AND up <= '{found.up}'::UUID)"
        if found.type != "domain":
            return f"(kh = {kh(found.type, found.value)}::UBIGINT AND key = '{key(found.type, found.value)}')"
    part = str(refang(pl.Series([asked]))[0])
    return f"contains(lower(value), {quoted(part.lower())})"


def _by_values(con: duckdb.DuckDBPyConnection, values: Sequence[str]) -> str:
    keys = [str(key(v.type, v.value)) for v in judge(list(values)) if v.drop is None and v.type and v.value]
    con.execute("CREATE OR REPLACE TEMP TABLE wanted_keys (key UUID)")
    if keys:
        con.execute("INSERT INTO wanted_keys SELECT unnest(?)::UUID", [keys])
    return "key IN (SELECT key FROM wanted_keys)"
