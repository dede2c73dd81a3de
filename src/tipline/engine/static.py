"""Keeps folders and buckets filled with the files of lists (`publish_to`), in a thread that nothing waits for."""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import structlog

from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.engine.listfiles import list_files
from tipline.engine.prepared import SUFFIXES, Encoding, Prepared
from tipline.engine.times import iso
from tipline.errors import StoreError, TiplineError
from tipline.outputs.list import ListKind
from tipline.outputs.publishing import PublishTarget
from tipline.outputs.render.dialect import dialect
from tipline.sources.fetch_objects import failure, is_object, store

log = structlog.get_logger()
STATE, INDEX = "static.json", "index.json"
_RETRY = 60.0  # seconds until what failed is tried again
_CHUNK = 1 << 20
_ENCODINGS: dict[str, Encoding] = {"gz": "gzip", "zst": "zstd"}
_State = dict[str, dict[str, dict[str, Any]]]


class Place(Protocol):
    """A folder or bucket."""

    def put(self, name: str, path: Path) -> None:
        """Put a file there; a reader sees the old one or the new one."""

    def write(self, name: str, text: bytes) -> None:
        """The same with some bytes."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


@dataclass(frozen=True)
class Folder:
    """A folder of this machine."""

    path: Path
    mode: int

    def put(self, name: str, path: Path) -> None:
        """Copy a file, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, replacing(self.path / name, self.mode) as new:
            while chunk := source.read(_CHUNK):
                new.file.write(chunk)

    def write(self, name: str, text: bytes) -> None:
        """Write some bytes, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self.path / name, self.mode) as new:
            new.file.write(text)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Bucket:
    """A folder of an object store."""

    url: str
    files: Any

    def put(self, name: str, path: Path) -> None:
        """Upload a file."""
        with self._told():
            self.files.put_file(str(path), f"{self.url}/{name}")

    def write(self, name: str, text: bytes) -> None:
        """Upload some bytes."""
        with self._told():
            self.files.pipe_file(f"{self.url}/{name}", text)

    def remove(self, name: str) -> None:
        """Remove an object."""
        with self._told(), suppress(FileNotFoundError):
            self.files.rm_file(f"{self.url}/{name}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store's library has errors of its own
            raise failure(error, self.url) from error


@dataclass
class Wanted:
    """What a folder or bucket is to hold: its settings, and the target of each output."""

    outputs: dict[str, PublishTarget] = field(default_factory=dict)


class Publisher:
    """Fills the targets of an engine's lists. Use `publisher(engine)`: one engine has one."""

    def __init__(self, engine: Engine) -> None:
        self._weak = weakref.ref(engine)  # it is the key under which this is kept
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failed: dict[str, str] = {}
        self._known: dict[str, PublishTarget] = {}
        self._waiting: set[str] = set()

    @property
    def _engine(self) -> Engine:
        engine = self._weak()
        if engine is None:
            raise StoreError("the engine has stopped")
        return engine

    def start(self) -> None:
        """Work in a thread until `stop`."""
        self._thread = threading.Thread(target=self._loop, name="static", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End at the next safe point."""
        self._stop.set()
        self._wake.set()
        if self._thread:
            self._thread.join()

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def problems(self) -> dict[str, str]:
        """What could not be published, by target, and why."""
        return dict(self._failed)

    def cycle(self) -> None:
        """Bring every target up to date; one that fails does not keep the others."""
        with self._busy:
            state = self._load()
            wanted = self._wanted()
            failed: dict[str, str] = {}
            for url in sorted({*wanted, *state}):
                try:
                    self._fill(url, wanted.get(url, Wanted()), state)
                except TiplineError as exc:
                    failed[url] = str(exc)
                except OSError as exc:
                    failed[url] = f"{url}: it cannot be written: {exc.strerror or type(exc).__name__}"
                if url in failed and failed[url] != self._failed.get(url):
                    log.error("not published", target=url, error=failed[url])
                self._save(state)
            self._failed = failed

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self.cycle()
            except (TiplineError, OSError) as exc:
                log.error("not published", error=str(exc))
            self._wake.wait(_RETRY)
            self._wake.clear()

    def _wanted(self) -> dict[str, Wanted]:
        found: dict[str, Wanted] = {}
        for name, output in self._engine.graph.outputs.items():
            for target in output.settings.publish_to if isinstance(output, ListKind) else ():
                found.setdefault(target.to, Wanted()).outputs[name] = target
                self._known[target.to] = target
        return found

    def _fill(self, url: str, wanted: Wanted, state: _State) -> None:
        """Put what is new into a target, then its index, then remove what is not wanted any more."""
        there = state.setdefault(url, {})
        files = dict(self._files(wanted))
        if not files and not there:
            state.pop(url)
            return
        place = self._place(url)
        for name, (entry, path) in files.items():
            if there.get(name) != entry:
                place.put(name, path)
                there[name] = entry
        gone = [name for name in there if name not in files and not self._unready(there[name], wanted)]
        left = {name: entry for name, entry in there.items() if name not in gone}
        text = json.dumps({"files": [{"file": name, **entry} for name, entry in sorted(left.items())]}, indent=1)
        place.write(INDEX, text.encode() + b"\n")
        for name in gone:
            place.remove(name)
            del there[name]
        if not there:
            place.remove(INDEX)
            state.pop(url)

    def _unready(self, entry: dict[str, Any], wanted: Wanted) -> bool:
        """Whether a file is wanted although its list cannot be prepared now: then the old one stays."""
        target = wanted.outputs.get(entry["output"])
        return target is not None and entry["output"] in self._waiting and entry["format"] in target.formats

    def _files(self, wanted: Wanted) -> Iterator[tuple[str, tuple[dict[str, Any], Path]]]:
        """Name of each file to publish, with what the index says of it and where it lies."""
        self._waiting = set()
        for output, target in sorted(wanted.outputs.items()):
            for form in target.formats:
                chosen = dialect(form, cidrs=target.tr)
                encodings: list[Encoding] = ["identity", *(_ENCODINGS[each] for each in target.compress)]
                for encoding in encodings:
                    try:
                        prepared, _ = list_files(self._engine).obtain(output, chosen, encoding)
                    except TiplineError:
                        self._waiting.add(output)
                        continue
                    name = target.file_name(output, form) + SUFFIXES[encoding]
                    yield name, (_entry(output, form, prepared, encoding), prepared.file(encoding))

    def _place(self, url: str) -> Place:
        target = self._known.get(url) or next(
            (other for other in self._known.values() if _root(other.to) == _root(url)), PublishTarget(to=url)
        )
        if is_object(url):
            return Bucket(url, store(url, target.storage))
        return Folder(Path(url), int(target.mode, 8))

    def _load(self) -> _State:
        try:
            found: _State = json.loads((self._engine.data / STATE).read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def _save(self, state: _State) -> None:
        with replacing(self._engine.data / STATE, 0o600) as new:
            new.file.write(json.dumps(state).encode())


def _entry(output: str, form: str, prepared: Prepared, encoding: Encoding) -> dict[str, Any]:
    path = prepared.file(encoding)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return {
        "output": output,
        "format": form,
        "encoding": encoding,
        "records": prepared.made.rows,
        "version": prepared.version.seq,
        "updated": iso(prepared.version.moment()),
        "bytes": path.stat().st_size,
        "sha256": digest.hexdigest(),
    }


def _root(url: str) -> str:
    """Scheme and bucket of an address."""
    return "/".join(url.split("/")[:3])


_PUBLISHERS: WeakKeyDictionary[Engine, Publisher] = WeakKeyDictionary()
_LOCK = threading.Lock()


def publisher(engine: Engine) -> Publisher:
    """The publisher of an engine."""
    with _LOCK:
        return _PUBLISHERS.get(engine) or _PUBLISHERS.setdefault(engine, Publisher(engine))
