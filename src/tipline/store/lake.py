"""The lake: one DuckDB file in one process, with one writer lane and readers beside it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from tipline.errors import ConfigError, StoreError
from tipline.store.allowance import Allowance
from tipline.store.schema import LAKE_VERSION, SHARED, columns_sql, node_tables

FILE = "tipline.duckdb"
_COPY = "import shutil, sys; shutil.copyfile(sys.argv[1], sys.argv[2])"
# What a full disk, a lost one or too little memory makes of any statement.
_NO_ROOM = (duckdb.IOException, duckdb.FatalException, duckdb.OutOfMemoryException)


class Known(NamedTuple):
    """A node as the lake knows it; one that is retired is in no configuration any more."""

    number: int
    kind: str
    retired: bool


class Lake:
    """Claims, published sets and change logs.

    Args:
        directory: the data directory; None keeps everything in memory (for `try` and tests).
        memory_limit: DuckDB's limit, such as `2GB`.
        threads: DuckDB's worker threads.

    Raises:
        StoreError: another process holds the file, the file is damaged, or a newer tipline wrote it.
    """

    def __init__(self, directory: Path | None, *, memory_limit: str = "2GB", threads: int = 2) -> None:
        self.path = directory / FILE if directory else None
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "preserve_insertion_order": False,
        }
        if directory:
            config["temp_directory"] = str(directory / "spill")
        self._config = config
        self._closed = False
        self._root = self._open()
        self._lane = threading.RLock()
        self._opening = threading.Lock()
        self.memory = Allowance(memory_limit, self._limit_memory)
        self._ensure_schema()

    def close(self) -> None:
        """Checkpoint and let go of the file."""
        with self._lane:
            self._closed = True
            self._root.close()

    def connection(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own (temporary tables are private to it). Close it after use.

        Raises:
            StoreError: DuckDB has stopped after a failed write, and the file cannot be opened again yet.
        """
        try:
            return self._cursor()
        except (duckdb.FatalException, duckdb.ConnectionException):
            if self._closed or self.path is None:
                raise
        with self._opening:
            try:
                return self._cursor()  # another thread has opened it meanwhile
            except (duckdb.FatalException, duckdb.ConnectionException):
                return self._reopened()

    def _open(self) -> duckdb.DuckDBPyConnection:
        try:
            root = duckdb.connect(str(self.path) if self.path else ":memory:", config=self._config)
        except duckdb.Error as exc:
            raise _explain_open(exc, str(self.path)) from exc
        # With few rows on its left an ASOF join would be planned as a nested loop.
        root.execute("SET GLOBAL asof_loop_join_threshold = 0")
        return root

    def _limit_memory(self, limit: str) -> None:
        with closing(self._root.cursor()) as con:
            con.execute(f"SET GLOBAL memory_limit = '{limit}'")

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        con = self._root.cursor()
        con.execute("SET TimeZone='UTC'")
        return con

    def _reopened(self) -> duckdb.DuckDBPyConnection:
        """A connection after a failed write or checkpoint, which ends DuckDB's instance; its log makes the file whole.

        The old instance lives until its last connection is closed; until then this fails, and is tried again.
        """
        self._root.close()
        try:
            self._root = self._open()
            return self._cursor()
        except duckdb.Error as exc:
            raise self._refused(exc) from exc

    def _refused(self, exc: duckdb.Error) -> StoreError:
        return StoreError(
            f"the change could not be written: {_first_line(exc)}",
            where=str(self.path or "memory"),
            fix="check free disk space and permissions; the last good state is kept",
        )

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for reading one consistent snapshot."""
        con = self.connection()
        try:
            con.execute("BEGIN")
            yield con
        finally:
            con.close()

    @contextmanager
    def writing(self, con: duckdb.DuckDBPyConnection | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer lane: one transaction at a time, rolled back on any error."""
        own = con is None
        with self._lane:
            con = con or self.connection()
            con.execute("BEGIN")
            try:
                yield con
            except _NO_ROOM as exc:
                _rollback(con)
                raise self._refused(exc) from exc
            except BaseException:
                _rollback(con)
                raise
            else:
                try:
                    con.execute("COMMIT")
                except duckdb.Error as exc:
                    _rollback(con)
                    raise self._refused(exc) from exc
            finally:
                if own:
                    con.close()

    @contextmanager
    def still(self, folder: Path) -> Iterator[None]:
        """Hold the writer lane, after the file (with its log) was copied into a folder.

        Another process copies: if this one closed the file, the lock that DuckDB has on it would go.

        Raises:
            StoreError: it cannot be copied.
        """
        with self._lane:
            con = self.connection()
            try:
                con.execute("CHECKPOINT")
            except duckdb.Error:
                pass  # somebody reads an older state; the log is copied, too
            finally:
                con.close()
            for path in filter(Path.is_file, self._files()):
                _copy(path, folder / path.name)
            yield

    @contextmanager
    def trying(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The writer lane for a trial: whatever is written is rolled back, and meets no other writer meanwhile."""
        with self._lane:
            con = self.connection()
            try:
                con.execute("BEGIN")
                yield con
            finally:
                _rollback(con)
                con.close()

    def number_nodes(
        self, con: duckdb.DuckDBPyConnection, nodes: Iterable[tuple[str, str, str]], at: datetime
    ) -> dict[str, int]:
        """The numbers of nodes (name, sort, kind) by name, made where they are new (inside a writing transaction).

        Raises:
            ConfigError: a node was of another kind.
        """
        nodes = list(nodes)
        self.check_kinds(con, nodes)
        return {name: self.node_id(con, name, sort, kind, at) for name, sort, kind in nodes}

    def check_kinds(self, con: duckdb.DuckDBPyConnection, nodes: Iterable[tuple[str, str, str]]) -> None:
        """Check that no node (name, sort, kind) was of another kind.

        Raises:
            ConfigError: one was.
        """
        known = self.nodes(con)
        for name, sort, kind in nodes:
            before = known.get((sort, name))
            if before and before.kind != kind:
                raise ConfigError(
                    f"{name} was a {before.kind} {sort} and is now {kind}",
                    where=name,
                    fix="give the new node another name: what the old one holds stays until you remove it",
                )

    def node_id(self, con: duckdb.DuckDBPyConnection, name: str, sort: str, kind: str, at: datetime) -> int:
        """The number of a node, made with its tables when it is new (inside a writing transaction)."""
        row = con.execute("SELECT id FROM nodes WHERE name = ? AND sort = ?", [name, sort]).fetchone()
        if row:
            con.execute("UPDATE nodes SET retired = NULL WHERE id = ? AND retired IS NOT NULL", [row[0]])
            return int(row[0])
        (node,) = con.execute("SELECT coalesce(max(id), 0) + 1 FROM nodes").fetchone() or (1,)
        con.execute("INSERT INTO nodes VALUES (?, ?, ?, ?, ?, NULL)", [node, name, sort, kind, at])
        for table, columns in node_tables(sort, node).items():
            con.execute(f"CREATE TABLE {table} ({columns_sql(columns)})")
        if sort == "source":
            con.execute("INSERT INTO source_state (source, commit_no) VALUES (?, 0)", [node])
        elif sort == "output":
            con.execute("INSERT INTO output_state (output, seq) VALUES (?, 0)", [node])
        return int(node)

    def nodes(self, con: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], Known]:
        """Every node the lake knows, by (sort, name)."""
        rows = con.execute("SELECT sort, name, id, kind, retired IS NOT NULL FROM nodes").fetchall()
        return {(sort, name): Known(number, kind, retired) for sort, name, number, kind, retired in rows}

    def forget_node(self, con: duckdb.DuckDBPyConnection, sort: str, node: int) -> None:
        """Drop a node and its tables (inside a writing transaction)."""
        for table in node_tables(sort, node):
            con.execute(f"DROP TABLE IF EXISTS {table}")
        con.execute("DELETE FROM nodes WHERE id = ?", [node])
        con.execute("DELETE FROM source_state WHERE source = ?", [node])
        con.execute("DELETE FROM output_state WHERE output = ?", [node])
        con.execute("DELETE FROM held WHERE source = ?", [node])

    def _files(self) -> list[Path]:
        return [self.path, self.path.with_name(f"{FILE}.wal")] if self.path else []

    def _ensure_schema(self) -> None:
        con = self._root
        exists = con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'meta'").fetchone()
        if exists and exists[0]:
            self._check_version(con)
        con.execute("BEGIN")
        for statement in SHARED:
            con.execute(statement)
        if not exists or not exists[0]:
            con.execute("INSERT INTO meta VALUES ('version', ?)", [str(LAKE_VERSION)])
        con.execute("COMMIT")

    def _check_version(self, con: duckdb.DuckDBPyConnection) -> None:
        row = con.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        found = int(row[0]) if row else 0
        if found > LAKE_VERSION:
            con.close()
            raise StoreError(
                f"the data was written by a newer tipline (layout {found}, this one reads {LAKE_VERSION})",
                where=str(self.path),
                fix="upgrade tipline, or restore a backup made by this version",
            )


def _copy(source: Path, target: Path) -> None:
    done = subprocess.run(  # noqa: S603 - this interpreter, and paths of our own
        [sys.executable, "-c", _COPY, str(source), str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it was stopped"])[-1][:300]
        raise StoreError(f"the data file cannot be copied: {why}", where=str(source), fix="make room, and try again")


def _rollback(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.execute("ROLLBACK")
    except duckdb.Error:
        # A connection whose transaction already ended (a failed COMMIT) has nothing to roll back.
        return


def _first_line(exc: Exception) -> str:
    return str(exc).splitlines()[0][:300]


def _explain_open(exc: duckdb.Error, path: str) -> StoreError:
    text = str(exc)
    if "lock" in text.lower():
        return StoreError(
            "another process has the data open",
            where=path,
            fix="stop it, or let the command talk to it (the same --data directory)",
        )
    return StoreError(
        f"the data file cannot be opened: {_first_line(exc)}",
        where=path,
        fix="run `tipline doctor --recover`, or restore a backup",
    )
