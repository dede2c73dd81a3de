"""Prepared files of lists: made right after an output changed, found on request, removed when outdated.

Readers never wait for the database: while a version is being prepared they get the one before, and if it
cannot be prepared they keep getting it, marked as stale. A dialect that nobody asked for yet is made on the
first request, once, however many ask at the same time.
"""

from __future__ import annotations

import shutil
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import duckdb
import structlog

from tipline.engine import mispfeed
from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.engine.outfiles import write
from tipline.engine.prepared import (
    META,
    PRIVATE,
    SUFFIXES,
    Encoding,
    Prepared,
    Version,
    compress,
    load,
    path_of,
    save_meta,
)
from tipline.errors import TiplineError
from tipline.outputs.file import FileKind
from tipline.outputs.list import ListKind
from tipline.outputs.misp_feed import MispFeedKind
from tipline.outputs.render import Dialect, render
from tipline.store.allowance import WRITING
from tipline.store.schema import log_table, published_table

log = structlog.get_logger()

FOLDER = "feeds"
DEFAULT = Dialect()
# A dialect asked for within this time is prepared with each version.
_WANTED_SECONDS = 86_400.0
# Dialects kept per list: each costs a file, and strangers may choose among many.
_MOST_DIALECTS = 24
# After a failure, the next try is this far off.
_RETRY_SECONDS = 5.0
# Lists written at the same time; sorting needs memory.
_MOST_RENDERS = 2
_FAILURES = (OSError, duckdb.Error, TiplineError)


class NotReadyError(TiplineError):
    """A list has not been evaluated yet, or cannot be prepared and has no earlier version."""

    code = "not-ready"


@dataclass
class _Kept:
    """A dialect of a list: when it was last asked for, its newest file, and the encodings that file has."""

    asked: float
    prepared: Prepared | None = None
    encodings: set[Encoding] = field(default_factory=set)
    failed: str = ""
    retry_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def holds(self, version: Version) -> bool:
        """Whether its file is of this version, or of a later one."""
        return self.prepared is not None and self.prepared.version.covers(version)


@dataclass
class _Shelf:
    """What is known of one list. `current` is the version that requests get at least."""

    current: Version | None = None
    kept: dict[Dialect, _Kept] = field(default_factory=dict)
    failed: str = ""
    retry_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    preparing: threading.Lock = field(default_factory=threading.Lock)


class ListFiles:
    """The prepared files of an engine's lists. Use `list_files(engine)`: one engine has one.

    All methods may be called from any thread; those that may wait say so.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.proxy(engine)  # it is the key under which this is kept
        self._lake = engine.lake
        self._folder = engine.data / FOLDER
        self._shelves: dict[str, _Shelf] = {}
        self._lock = threading.Lock()
        self._renders = threading.Semaphore(_MOST_RENDERS)
        lists = {name for name, output in engine.graph.outputs.items() if isinstance(output, ListKind)}
        if engine.lake.path is not None and self._folder.is_dir():
            for folder in self._folder.iterdir():
                if folder.name not in lists:
                    shutil.rmtree(folder, ignore_errors=True)

    def problems(self) -> dict[str, str]:
        """Lists whose newest version could not be prepared, and what their readers are told."""
        return {name: shelf.failed for name, shelf in list(self._shelves.items()) if shelf.failed}

    def peek(self, name: str, dialect: Dialect, encoding: Encoding = "identity") -> Prepared | None:
        """The file to send, if it is there, current and known to be; never waits."""
        shelf = self._shelves.get(name)
        if shelf is None or shelf.current is None or shelf.failed:
            return None
        kept = shelf.kept.get(dialect)
        if kept is None or kept.failed or not kept.holds(shelf.current):
            return None
        if encoding != "identity" and encoding not in kept.encodings:
            return None
        kept.asked = time.time()
        return kept.prepared

    def obtain(self, name: str, dialect: Dialect, encoding: Encoding = "identity") -> tuple[Prepared, str]:
        """The file to send, made if need be (may wait), and a warning if it may not be of the newest version.

        Raises:
            NotReadyError: there is none, and none can be made now.
        """
        shelf = self._shelf(name)
        if (shelf.current is None or shelf.failed) and time.time() >= shelf.retry_at:
            self.prepare(name)
        kept = _want(shelf, dialect)
        if shelf.current is not None and time.time() >= kept.retry_at:
            self._make(name, shelf.current, dialect, kept, encoding)
        warning = kept.failed or shelf.failed
        if kept.prepared is None:
            what = warning or "the list has not been evaluated yet"
            raise NotReadyError(what, where=name, fix="ask again in a little while")
        return kept.prepared, warning

    def prepare(self, name: str) -> bool:
        """Make the files of an output's newest version, then let requests have them (may wait).

        Returns:
            Whether the newest version is now served. If not, the log says why; a later request tries again.
        """
        shelf = self._shelf(name)
        with shelf.preparing:
            try:
                version = self._version(name)
            except _FAILURES as exc:
                shelf.failed, shelf.retry_at = _note_failure(name, exc)
                return False
            if version is None:
                return False
            since = time.time() - _WANTED_SECONDS
            for dialect, kept in list(shelf.kept.items()):
                if dialect == DEFAULT or kept.asked >= since:
                    self._make(name, version, dialect, kept)
            default = shelf.kept[DEFAULT]
            shelf.failed, shelf.retry_at = default.failed, default.retry_at
            if default.failed:
                return False
            shelf.current = version
            self._sweep(name, shelf, version)
            return True

    def _shelf(self, name: str) -> _Shelf:
        with self._lock:
            if name not in self._shelves:
                self._shelves[name] = self._adopt(name)
            return self._shelves[name]

    def _adopt(self, name: str) -> _Shelf:
        """What an earlier process prepared: the newest file of each dialect, if it is of this very output."""
        shelf = _Shelf(kept={DEFAULT: _Kept(time.time())})
        version = None
        try:
            version = self._version(name)
        except _FAILURES as exc:
            shelf.failed, shelf.retry_at = _note_failure(name, exc)
        for meta in (self._folder / name).glob(f"*{META}"):
            found = load(meta)
            if found is None or (version is not None and not version.follows(found.version)):
                continue
            kept = shelf.kept.setdefault(found.dialect, _Kept(meta.stat().st_mtime))
            if kept.prepared is None or found.version.seq > kept.prepared.version.seq:
                kept.prepared = found
                kept.encodings = {encoding for encoding in SUFFIXES if found.file(encoding).exists()}
        return shelf

    def _make(
        self, name: str, version: Version, dialect: Dialect, kept: _Kept, encoding: Encoding = "identity"
    ) -> None:
        """See that a dialect's files are there; one thread makes them, the others wait for it."""
        with kept.lock:
            encodings = {*kept.encodings, encoding}
            try:
                prepared = kept.prepared
                if prepared is None or not kept.holds(version) or not prepared.path.exists():
                    prepared = self._render(name, dialect)
                for each in encodings:
                    compress(prepared, each)
            except _FAILURES as exc:
                kept.failed, kept.retry_at = _note_failure(name, exc)
                return
            kept.prepared, kept.encodings, kept.failed = prepared, encodings, ""

    def _render(self, name: str, dialect: Dialect) -> Prepared:
        """Write the newest version in a dialect."""
        with self._renders:
            what = f"list {name} {dialect.text()}"
            return self._lake.memory.tried(WRITING, what, lambda: self._rendered(name, dialect))

    def _rendered(self, name: str, dialect: Dialect) -> Prepared:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with self._lake.reading() as con:
            version = self._version_in(con, name)
            if version is None:
                raise NotReadyError("the list has not been evaluated yet", where=name)
            path = path_of(folder, version, dialect)
            done = load(path.with_suffix(META)) if path.exists() else None
            if done is not None:
                return done
            with replacing(path, PRIVATE) as new:
                table = published_table(self._engine.graph.ids[name])
                made = render(con, table, dialect, new.file, version.context(name))
        prepared = Prepared(version, dialect, path, made)
        save_meta(prepared)
        if made.left_out:
            log.info("rows left out", list=name, dialect=dialect.format, rows=made.left_out)
        return prepared

    def _version(self, name: str) -> Version | None:
        with self._lake.reading() as con:
            return self._version_in(con, name)

    def _version_in(self, con: duckdb.DuckDBPyConnection, name: str) -> Version | None:
        """The newest version of an output inside a transaction; None before the first evaluation."""
        number = self._engine.graph.ids[name]
        row = con.execute(
            "SELECT created, seq, as_of FROM nodes JOIN output_state ON output = id WHERE id = ?",
            [number],
        ).fetchone()
        if row is None or (row[2] is None and not row[1]):
            return None
        created, seq, _ = row
        # The log is pruned in time; then the youngest indicator tells, and the list's tag changes once.
        changed = con.execute(
            f"SELECT coalesce((SELECT max(stamp) FROM {log_table(number)} WHERE seq = ?),"
            f" (SELECT max(since) FROM {published_table(number)}), ?)",
            [seq, created],
        ).fetchone()
        return Version(number, str(created), seq, str(changed[0] if changed else created))

    def _sweep(self, name: str, shelf: _Shelf, version: Version) -> None:
        """Remove what no request can get any more; whoever reads it now reads on: open files survive."""
        before = time.time() - _WANTED_SECONDS
        with shelf.lock:
            for dialect in [d for d, kept in shelf.kept.items() if d != DEFAULT and kept.asked < before]:
                del shelf.kept[dialect]
            needed = {file for kept in shelf.kept.values() if kept.prepared for file in kept.prepared.files()}
        for file in (self._folder / name).iterdir():
            if file.name in needed:
                continue
            seq = file.name.partition("-")[0]
            with suppress(OSError):  # it is gone already, or stays until the next time
                # One that is not outdated may just be in the making.
                if (seq.isdigit() and int(seq) < version.seq) or file.stat().st_mtime < before:
                    file.unlink()


_OF_ENGINES: WeakKeyDictionary[Engine, ListFiles] = WeakKeyDictionary()
_OF_ENGINES_LOCK = threading.Lock()


def list_files(engine: Engine) -> ListFiles:
    """The prepared files of an engine's lists."""
    with _OF_ENGINES_LOCK:
        return _OF_ENGINES.get(engine) or _OF_ENGINES.setdefault(engine, ListFiles(engine))


def write_files(engine: Engine, name: str) -> bool:
    """After an output changed: prepare its list, or write its file; other kinds have neither (may wait).

    Returns:
        Whether it worked. If not, the log says why and what was written last stays; nothing stops the engine.
    """
    output = engine.graph.outputs.get(name)  # None: another configuration has taken its place since
    if isinstance(output, ListKind):
        return list_files(engine).prepare(name)
    try:
        if isinstance(output, FileKind):
            write(engine, name)
        elif isinstance(output, MispFeedKind):
            mispfeed.write(engine, name)
    except TiplineError as exc:
        _log_failure("file not written", name, exc)
        return False
    return True


def _want(shelf: _Shelf, dialect: Dialect) -> _Kept:
    """Note that a dialect was asked for; of too many, the one not asked for longest is given up."""
    with shelf.lock:
        kept = shelf.kept.setdefault(dialect, _Kept(time.time()))
        kept.asked = time.time()
        if len(shelf.kept) > _MOST_DIALECTS:
            others = [other for other in shelf.kept if other not in {DEFAULT, dialect}]
            given_up = shelf.kept.pop(min(others, key=lambda other: shelf.kept[other].asked))
            if given_up.prepared:
                for file in given_up.prepared.files():
                    (given_up.prepared.path.parent / file).unlink(missing_ok=True)
    return kept


def _note_failure(name: str, exc: Exception) -> tuple[str, float]:
    """Log a failure; returns what to tell readers, and when to try again."""
    _log_failure("list not prepared", name, exc)
    # Readers may be strangers: paths and SQL are for the log.
    return "the newest version could not be prepared", time.time() + _RETRY_SECONDS


def _log_failure(what: str, name: str, exc: Exception) -> None:
    log.error(what, output=name, error=str(exc))
