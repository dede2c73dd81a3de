"""What changed since an output was last evaluated, and how far that reaches: fills the tables `slice` and `hulls`.

`slice` has the indicators to evaluate: key, type, lo, up, rhost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from tipline.engine.graph import Graph
from tipline.engine.moments import Moments
from tipline.engine.positions import Position
from tipline.engine.times import literal
from tipline.engine.warnings import POSITION, log_reaches, logged
from tipline.processors.allowsql import matched_by
from tipline.processors.expression import Clock
from tipline.processors.iptext import family
from tipline.processors.rangesql import islands, within
from tipline.sources.ageing import expiries
from tipline.store.schema import VIEW, claims_table

_ENTRY = "key, type, value, lo, up, rhost"
_TOUCHED = "key UUID, type VARCHAR, lo UUID, up UUID, rhost VARCHAR"
# An evaluation in full costs less than a slice of this share of the claims.
FULL_SHARE = 0.3
_ALWAYS_SLICED = 1000  # keys
_IPS = "type IN ('ipv4', 'ipv6')"


@dataclass
class Span:
    """From where to where a group of outputs must come, by source."""

    before: dict[str, Position]
    now: dict[str, Position]
    before_at: datetime
    at: datetime
    approved: bool = False
    expired_only: bool = True
    clocks: list[Clock] = field(default_factory=list)

    @property
    def revisions(self) -> tuple[int, int]:
        """From which revision of the warning lists to which."""
        return self.before[POSITION].commit, self.now[POSITION].commit

    @property
    def warned(self) -> bool:
        """Whether warning lists changed."""
        before, now = self.revisions
        return before != now


@dataclass(frozen=True)
class Touched:
    """What an evaluation must look at.

    Attributes:
        whole: so much is touched, or the logs do not reach back, that the outputs must be evaluated in full.
        keys: whether a key is touched; only then are the tables `slice` and `hulls` there.
        moved: whether any source has gone on since then, or a moment has passed.
    """

    whole: bool = False
    keys: bool = True
    moved: bool = True


def touch(con: duckdb.DuckDBPyConnection, graph: Graph, outputs: list[str], span: Span, moments: Moments) -> Touched:
    """Fill `slice` (keys to evaluate) and `hulls` (address intervals whose published rows are compared)."""
    feeds = sorted({source for name in outputs for source in graph.feeds(name)})
    allows = sorted({source for name in outputs for source in graph.allows(name)})
    sources = sorted({*feeds, *allows})
    if not (log_reaches(*span.revisions) and all(_log_reaches(con, graph, source, span) for source in sources)):
        return Touched(whole=True)
    tests = {name: _time_tests(con, graph, name, span, moments) for name in dict.fromkeys([*feeds, *allows])}
    moved = {name for name in tests if tests[name] or span.before[name].commit != span.now[name].commit}
    if not moved and not span.warned:
        return Touched(keys=False, moved=False)
    con.execute(f"CREATE OR REPLACE TEMP TABLE touched ({_TOUCHED})")
    con.execute("CREATE OR REPLACE TEMP TABLE hulls (family UTINYINT, lo UUID, up UUID)")
    for source in feeds:
        for rows in _changed(graph, source, span, tests[source]):
            con.execute(f"INSERT INTO touched SELECT DISTINCT key, type, lo, up, rhost FROM {rows}")
    if span.warned:
        span.expired_only = False
        con.execute(f"INSERT INTO touched SELECT DISTINCT key, type, lo, up, rhost FROM {logged(*span.revisions)}")
    entries = [rows for name in allows for rows in _changed(graph, name, span, tests[name])]
    if entries:
        _by_allow_lists(con, graph, entries, feeds)
    if not _count(con, "touched"):
        return Touched(keys=False)
    if any(graph.reach(name) == "all" for name in outputs):
        return Touched(whole=True)
    if _reaches_islands(con, graph, outputs, allows, cut=bool(entries)):
        _islands(con, graph, feeds, touching=any(graph.touching(name) for name in outputs))
    row = con.execute("CREATE OR REPLACE TEMP TABLE slice AS SELECT DISTINCT ON (key) * FROM touched").fetchone()
    return Touched(whole=_is_much(con, graph, feeds, int(row[0]) if row else 0))


def _is_much(con: duckdb.DuckDBPyConnection, graph: Graph, feeds: list[str], keys: int) -> bool:
    """Whether so much is touched that an evaluation in full costs less."""
    if keys <= _ALWAYS_SLICED:
        return False
    every = " UNION ALL ".join(f"SELECT key FROM {claims_table(graph.ids[source])}" for source in feeds)
    return keys > FULL_SHARE * _count(con, f"({every})")


def _log_reaches(con: duckdb.DuckDBPyConnection, graph: Graph, source: str, span: Span) -> bool:
    """Whether every commit since then is in the log, row by row; notes whether one of them was approved."""
    before, now = span.before[source].commit, span.now[source].commit
    if before == now:
        return True
    rows = con.execute(
        "SELECT count(*), coalesce(bool_or(bulk), FALSE), coalesce(bool_or(approved), FALSE) FROM commits"
        " WHERE source = ? AND commit_no > ? AND commit_no <= ?",
        [graph.ids[source], before, now],
    ).fetchone()
    found, bulk, approved = rows or (0, True, False)
    span.approved = span.approved or approved
    span.expired_only = False
    return bool(found == now - before and not bulk)


def _changed(graph: Graph, source: str, span: Span, tests: list[str]) -> Iterator[str]:
    """SQL: the rows that say what changed in a source: of its log, and claims of which a moment has passed."""
    number, before, now = graph.ids[source], span.before[source].commit, span.now[source].commit
    if before != now:
        yield f"claim_log WHERE source = {number} AND commit_no > {before} AND commit_no <= {now}"
    if tests:
        yield f"{claims_table(number)} WHERE {' OR '.join(tests)}"


def _time_tests(con: duckdb.DuckDBPyConnection, graph: Graph, source: str, span: Span, moments: Moments) -> list[str]:
    """Conditions on a source's claims: a moment that matters has passed since the last evaluation."""
    before, now = span.before[source], span.now[source]
    clocks = [f"({each.column} + INTERVAL {int(each.offset.total_seconds())} SECONDS)" for each in span.clocks]
    rules = [rule.moment_sql() for rule in expiries(graph.sources[source].settings.expire)]
    spans = ((["valid_until", *clocks], span.before_at, span.at), (rules, before.moment, now.moment))
    return [
        f"({moment} > {literal(since)} AND {moment} <= {literal(until)})"
        for every, since, until in spans
        if moments.passed(con, graph.ids[source], now.commit, every, since, until)
        for moment in every
    ]


def _by_allow_lists(con: duckdb.DuckDBPyConnection, graph: Graph, entries: list[str], feeds: list[str]) -> None:
    """Claims that an added, changed, removed or expired allow entry matches; `entries`: where these are."""
    every = " UNION ALL ".join(f"SELECT DISTINCT {_ENTRY} FROM {rows}" for rows in entries)
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE changed_entries AS SELECT {_ENTRY}, [''] AS sources, NULL::VARCHAR AS dropped"
        f" FROM ({every})"
    )
    if not _count(con, "changed_entries"):
        return
    for source in feeds:
        table = claims_table(graph.ids[source])
        con.execute(
            f"INSERT INTO touched SELECT c.key, c.type, c.lo, c.up, c.rhost FROM {table} c"
            f" SEMI JOIN ({matched_by(table, 'changed_entries')}) m ON m.key = c.key"
        )
    con.execute(
        f"INSERT INTO touched SELECT key, type, lo, up, NULL FROM changed_entries WHERE {_IPS} AND lo IS NOT NULL"
    )


def _reaches_islands(
    con: duckdb.DuckDBPyConnection, graph: Graph, outputs: list[str], allows: list[str], *, cut: bool
) -> bool:
    """Whether addresses matter to others around them: to range arithmetic, or where an allowed network cuts or cut."""
    reaches = {graph.outputs[name].reach for name in outputs}
    reaches |= {graph.processors[name].reach for output in outputs for name in graph.upstream(output)}
    if reaches != {"key"}:
        return True
    lists = [*(["changed_entries"] if cut else []), *(claims_table(graph.ids[name]) for name in allows)]
    return any(_count(con, f"{name} WHERE lo IS NOT NULL") for name in lists)


def _islands(con: duckdb.DuckDBPyConnection, graph: Graph, feeds: list[str], *, touching: bool) -> None:
    """Widen `touched` to the islands of addresses around it, and note their hulls."""
    if not _count(con, f"touched WHERE {_IPS} AND lo IS NOT NULL"):
        return
    every = " UNION ALL ".join(
        f"SELECT {family()} AS family, key, type, lo, up, value FROM {claims_table(graph.ids[name])}"
        f" WHERE {_IPS} AND lo IS NOT NULL"
        for name in feeds
    )
    con.execute(f"CREATE OR REPLACE TEMP VIEW addresses AS {every}")
    # Single addresses make no islands unless neighbours are merged: only networks and ranges reach further.
    wide = "" if touching else " WHERE contains(value, '/') OR contains(value, '-')"
    seeds = f"(SELECT {family()} AS family, lo, up FROM touched WHERE {_IPS} AND lo IS NOT NULL)"
    con.execute(f"INSERT INTO hulls {islands(f'(SELECT * FROM addresses{wide})', seeds, touching=touching)}")
    con.execute(f"INSERT INTO touched SELECT key, type, lo, up, NULL FROM ({within('hulls', 'addresses')})")


def region(con: duckdb.DuckDBPyConnection, published: str, columns: Iterable[str] = VIEW) -> str:
    """SQL: the published rows that an evaluation of `slice` and `hulls` decides on."""
    names = ", ".join(f"p.{c}" for c in columns)
    if not _count(con, "hulls"):
        return f"SELECT {names} FROM {published} p WHERE p.key IN (SELECT key FROM slice)"
    addresses = f"(SELECT * FROM {published} WHERE {_IPS} AND lo IS NOT NULL)"
    return (
        f"SELECT {names} FROM {published} p WHERE p.key IN (SELECT key FROM slice)"
        f" UNION SELECT {names} FROM ({within('hulls', addresses)}) p"
    )


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {relation}").fetchone()
    return int(row[0]) if row else 0
