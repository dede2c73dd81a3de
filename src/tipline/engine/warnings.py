"""Warning lists in the lake: kept as they are configured and written, and asked which indicators stand on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import structlog

from tipline.config.warning_lists import WarningList, shipped_body
from tipline.engine.graph import Graph
from tipline.errors import FormatError
from tipline.formats.warning_list import WarningListText, read
from tipline.processors.warningentries import Compiled, compiled
from tipline.processors.warningsql import STEM, Entries, hits, merge_networks, segments
from tipline.store.schema import claims_table

log = structlog.get_logger()

FOLDER = "warning-lists"
# The name under which outputs remember how far they have come with warning lists; no node can have it.
POSITION = "/warning-lists"
_REVISIONS = 50  # of which the log is kept
_TABLES = ("warning_values", "warning_hosts", "warning_networks", "warning_patterns", "warning_lists")


@lru_cache(maxsize=2)
def _read(path: Path | None, name: str, _changed: int) -> WarningListText:
    return read(shipped_body(name) if path is None else path.read_bytes(), name)


@lru_cache(maxsize=1024)
def _about(path: Path, name: str, changed: int) -> tuple[WarningListText, int]:
    text = _read(path, name, changed)
    return replace(text, entries=()), len(text.entries)


@dataclass(frozen=True)
class Compiling:
    """A list that is to be made ready, and how."""

    wanted: WarningList
    text: WarningListText


class Warnings:
    """The warning lists of one data directory.

    Args:
        data: the data directory; lists of one's own lie in a folder of it, as they were fetched.
    """

    def __init__(self, data: Path) -> None:
        self.data = data

    def path(self, name: str) -> Path:
        """Where a list of one's own lies, as it was fetched."""
        return self.data / FOLDER / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"

    def text(self, wanted: WarningList) -> WarningListText | None:
        """A list as it was written; None if it was not fetched yet."""
        if wanted.shipped is not None:
            return _read(None, wanted.name, 0)
        path = self.path(wanted.name)
        try:
            return _read(path, wanted.name, path.stat().st_mtime_ns)
        except (OSError, FormatError):
            return None

    def about(self, wanted: WarningList) -> tuple[WarningListText, int] | None:
        """What a list of one's own says of itself, without its entries, and their number; None if it is not there."""
        path = self.path(wanted.name)
        try:
            return _about(path, wanted.name, path.stat().st_mtime_ns)
        except (OSError, FormatError):
            return None

    def bring_up(self, con: duckdb.DuckDBPyConnection, graph: Graph, at: datetime, *, noted: bool = True) -> int:
        """Have the lake's entries be those of the lists in use (inside a writing transaction).

        Args:
            con: the transaction.
            graph: what is configured.
            at: the moment.
            noted: whether what stands on other lists now is logged, for outputs to look at.

        Returns:
            The revision of the lists: raised whenever any of them changed.
        """
        revision = current_revision(con)
        there = {name: (number, digest) for name, number, digest in _there(con)}
        wanted = {name: each for name, each in graph.warning_lists.items() if each.enabled}
        changed = list(self._changed(wanted, {name: digest for name, (_, digest) in there.items()}))
        gone = [name for name in there if name not in wanted]
        if not changed and not gone:
            return revision
        held = f"({_claims(graph)})" if noted and _claims(graph) else ""
        before = _marks(con, held, all_lists(con)) if held else ""
        for name in [*gone, *(each.wanted.name for each in changed if each.wanted.name in there)]:
            for table in _TABLES:
                con.execute(f"DELETE FROM {table} WHERE list = ?", [there[name][0]])
        _insert(con, changed, {name: number for name, (number, _) in there.items()}, at)
        revision += 1
        con.execute("DELETE FROM meta WHERE name = 'warning_revision'")
        con.execute("INSERT INTO meta VALUES ('warning_revision', ?)", [str(revision)])
        if held:
            _log(con, held, before, _marks(con, held, all_lists(con)), revision)
        con.execute("DELETE FROM warning_log WHERE revision <= ?", [revision - _REVISIONS])
        log.info("warning lists", changed=[each.wanted.name for each in changed], gone=gone, revision=revision)
        return revision

    def _changed(self, wanted: dict[str, WarningList], there: dict[str, str]) -> Iterator[Compiling]:
        for name, each in wanted.items():
            about = None if each.shipped is not None else self.about(each)
            digest = each.shipped.digest if each.shipped is not None else about[0].digest if about else None
            # A list of one's own that is not to be had any more stays as it was.
            text = None if digest in {None, there.get(name)} else self.text(each)
            if text is not None:
                yield Compiling(each, text)


def current_revision(con: duckdb.DuckDBPyConnection) -> int:
    """The revision of the lists in the lake."""
    row = con.execute("SELECT value FROM meta WHERE name = 'warning_revision'").fetchone()
    return int(row[0]) if row else 0


def log_reaches(before: int, now: int) -> bool:
    """Whether the log has all that stands on other lists since a revision."""
    return now - before <= _REVISIONS


def logged(before: int, now: int) -> str:
    """SQL: the rows of the log from after one revision to another."""
    return f"warning_log WHERE revision > {before} AND revision <= {now}"


def all_lists(con: duckdb.DuckDBPyConnection) -> dict[int, Entries]:
    """What there is of each list in the lake, by its number."""
    rows = con.execute(
        "SELECT list, types, list IN (SELECT list FROM warning_values), list IN (SELECT list FROM warning_hosts),"
        " list IN (SELECT list FROM warning_networks) FROM warning_lists"
    ).fetchall()
    patterns: dict[int, list[str]] = {}
    for number, pattern in con.execute("SELECT list, pattern FROM warning_patterns ORDER BY ALL").fetchall():
        patterns.setdefault(number, []).append(pattern)
    return {
        number: Entries(tuple(types), exact, hosts, networks, tuple(patterns.get(number, ())))
        for number, types, exact, hosts, networks in rows
    }


def in_use(con: duckdb.DuckDBPyConnection, graph: Graph) -> dict[int, Entries]:
    """What there is of each list that is in use, by its number: those that were not looked at yet are missing."""
    used = {name for name, each in graph.warning_lists.items() if each.enabled}
    known = {number for name, number in numbers(con).items() if name in used}
    return {number: each for number, each in all_lists(con).items() if number in known}


def numbers(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The numbers of the lists in the lake, by name."""
    return {name: number for name, number, _ in _there(con)}


def marked(con: duckdb.DuckDBPyConnection, graph: Graph, relation: str) -> str | None:
    """SQL: (key, marks, refused): what warning lists in use say of rows; None if they say nothing of any.

    Args:
        con: an open transaction.
        graph: says which lists are used, and how.
        relation: rows with key, type, value, lo, up and rhost.
    """
    # Many expressions cost their time even where nothing is of a type that they are for.
    there = {name for (name,) in con.execute(f"SELECT DISTINCT type FROM {relation}").fetchall()}
    found = hits(relation, {n: each for n, each in in_use(con, graph).items() if there.intersection(each.types)})
    if found is None:
        return None
    lists = graph.warning_lists
    used = {number: lists[name] for name, number in numbers(con).items() if name in lists}
    words = ", ".join(
        f"({number}::INTEGER, {_quoted(each.tag)}, {_quoted(reason(each.name)) if each.action == 'drop' else 'NULL'})"
        for number, each in used.items()
    )
    return (
        "SELECT key, list_sort(list(tag)) AS marks, min(reason)::VARCHAR AS refused"
        f" FROM ({found}) h JOIN (VALUES {words}) w(list, tag, reason) ON w.list = h.list GROUP BY key"
    )


def reason(name: str) -> str:
    """Why an indicator goes no further that stands on a list which drops."""
    return f"on warning list {name}"


def _there(con: duckdb.DuckDBPyConnection) -> list[tuple[str, int, str]]:
    return con.execute("SELECT name, list, digest FROM warning_lists ORDER BY name").fetchall()


def _claims(graph: Graph) -> str:
    """SQL: the claims of all feeds."""
    feeds = [name for name in graph.sources if name not in graph.configuration.allow_lists]
    return " UNION ALL ".join(
        f"SELECT key, type, value, lo, up, rhost FROM {claims_table(graph.ids[name])}" for name in feeds
    )


def _marks(con: duckdb.DuckDBPyConnection, held: str, lists: dict[int, Entries]) -> str:
    """A temporary table (key, list) of what of `held` stands on lists."""
    table = f"warning_marks_{'after' if _is_table(con, 'warning_marks_before') else 'before'}"
    found = hits(held, lists) or "SELECT NULL::UUID AS key, NULL::INTEGER AS list WHERE FALSE"
    con.execute(f"CREATE TEMP TABLE {table} AS {found}")
    return table


def _is_table(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    row = con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [name]).fetchone()
    return bool(row and row[0])


def _log(con: duckdb.DuckDBPyConnection, held: str, before: str, after: str, revision: int) -> None:
    """Log what stands on other lists than before."""
    differs = f"(FROM {before} EXCEPT FROM {after}) UNION (FROM {after} EXCEPT FROM {before})"
    con.execute(
        f"INSERT INTO warning_log SELECT DISTINCT {revision}, key, type, lo, up, rhost FROM {held} h"
        f" WHERE key IN (SELECT key FROM ({differs}))"
    )
    for table in (before, after):
        con.execute(f"DROP TABLE {table}")


def _insert(con: duckdb.DuckDBPyConnection, changed: Iterable[Compiling], known: dict[str, int], at: datetime) -> None:
    """Put lists into the lake, and cut the address space into pieces again."""
    following = max(known.values(), default=0)
    facts: list[dict[str, Any]] = []
    made: list[tuple[int, Compiled]] = []
    for each in changed:
        name, text = each.wanted.name, each.text
        number = known.get(name)
        if number is None:
            following += 1
            number = following
        ready = compiled(text)
        made.append((number, ready))
        facts.append(
            {
                "list": number, "name": name, "digest": text.digest, "types": list(text.types),
                "entries": len(text.entries), "refused": ready.refused, "samples": ready.samples, "loaded": at,
            }
        )  # fmt: skip
    if not facts:
        return
    schema: dict[str, Any] = {"list": pl.Int32, "types": pl.List(pl.String), "samples": pl.List(pl.String)}
    _append(con, "warning_lists", "*", pl.DataFrame(facts, schema_overrides=schema))
    frames = {
        "warning_values": ("*", [(number, ready.exact) for number, ready in made]),
        "warning_hosts": (
            f"*, CASE WHEN contains(rtrim(rhost, '.'), '.') THEN {STEM} END",
            [(number, ready.hosts) for number, ready in made],
        ),
        "warning_patterns": ("*", [(number, ready.patterns) for number, ready in made]),
    }
    for table, (selected, parts) in frames.items():
        _append(con, table, selected, _stacked(parts))
    nets = _stacked([(number, ready.networks) for number, ready in made])
    if len(nets):
        con.register("warning_frame", nets.to_arrow())
        raw = "(SELECT list, family, lo::UUID AS lo, up::UUID AS up FROM warning_frame)"
        con.execute(f"INSERT INTO warning_networks {merge_networks(raw)}")
        con.unregister("warning_frame")
    con.execute("DELETE FROM warning_segments")
    con.execute(f"INSERT INTO warning_segments {segments('warning_networks')} ORDER BY family, lo")


def _stacked(parts: list[tuple[int, pl.DataFrame]]) -> pl.DataFrame:
    return pl.concat([frame.select(pl.lit(number, dtype=pl.Int32).alias("list"), pl.all()) for number, frame in parts])


def _append(con: duckdb.DuckDBPyConnection, table: str, selected: str, frame: pl.DataFrame) -> None:
    if len(frame):
        con.register("warning_frame", frame.to_arrow())
        con.execute(f"INSERT INTO {table} SELECT {selected} FROM warning_frame")
        con.unregister("warning_frame")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
