"""Backups: one file with all that a server cannot get again, made while it runs.

Inside, compressed: the lake as it stood between two commits, control, submissions that wait to be read, the
configuration, and the secrets that people entered, sealed as they are. Their key is not in it. Prepared files are left
out: they are made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import IO, Any

import zstandard

from tipline import __version__
from tipline.config.secretstore import SecretStore
from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.engine.people import RequestError
from tipline.engine.poll import INBOX
from tipline.engine.static import STATE
from tipline.engine.times import iso
from tipline.errors import StoreError
from tipline.store.control import FILE as CONTROL_FILE
from tipline.store.control import Control, revision
from tipline.store.schema import LAKE_VERSION

FOLDER, SUFFIX = "backups", ".tipline-backup"
MANIFEST, DATA, CONFIGURATION = "manifest.json", "data", "configuration"
FORM = 1
_BLOCK = 1 << 20
_PRIVATE = 0o600
_STAGING = ".backup-"
_ONE = threading.Lock()
LEFT_OUT = (
    "the key of the secrets (TIPLINE_SECRETS_KEY, or tipline.secrets.key): keep it apart",
    "files and environment variables that the configuration names",
    "prepared lists and MISP feeds: they are made again",
)


def make(engine: Engine, path: Path | None = None) -> dict[str, Any]:
    """Make a backup of a running engine; commits wait while the lake's file is copied, readers do not.

    Args:
        engine: whose.
        path: the new file; None: one named by the time, in `backups` of the data directory.

    Returns:
        name, path, size (bytes), made, files (name, size, sha256) and left_out (in words).

    Raises:
        RequestError: another one is being made, the file exists, or the engine keeps nothing on disk.
        StoreError: there is no room, or the file cannot be written.
    """
    if engine.lake.path is None or engine.control.path is None:
        raise RequestError("this engine keeps nothing in files", fix="back up its databases with their own tools")
    if not _ONE.acquire(blocking=False):
        raise RequestError("a backup is being made already", fix="wait for it")
    try:
        target = path or _new_path(engine)
        if target.exists():
            raise RequestError(f"{target} exists already", fix="choose another name, or remove it")
        _room(engine, target)
        for left in engine.data.glob(f"{_STAGING}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        try:
            with tempfile.TemporaryDirectory(prefix=_STAGING, dir=engine.data) as staging:
                manifest = _staged(engine, Path(staging))
                with replacing(target, _PRIVATE) as new:
                    _pack(Path(staging), manifest, new.file)
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise StoreError(f"the backup cannot be written: {reason}", where=str(target), fix="make room") from exc
        return _described(target, manifest)
    finally:
        _ONE.release()


def listed(engine: Engine) -> list[dict[str, Any]]:
    """The backups in the data directory, newest first: name, size, made."""
    folder = engine.data / FOLDER
    found = sorted(folder.glob(f"*{SUFFIX}"), reverse=True) if folder.is_dir() else []
    return [
        {"name": each.name, "size": each.stat().st_size, "made": datetime.fromtimestamp(each.stat().st_mtime, UTC)}
        for each in found
    ]


def find(engine: Engine, name: str) -> Path:
    """The file of a backup in the data directory.

    Raises:
        RequestError: there is none of this name.
    """
    if name not in {each["name"] for each in listed(engine)}:
        raise RequestError(f"there is no backup {name[:100]!r}", fix="list them")
    return engine.data / FOLDER / name


def _staged(engine: Engine, staging: Path) -> dict[str, Any]:
    """Put everything into a folder, as it stands between two commits; returns the manifest."""
    data, configuration = staging / DATA, staging / CONFIGURATION
    data.mkdir()
    configuration.mkdir()
    with engine.lake.still(data):
        # Before the lake's lane is free again: what a later poll reads, it takes out of the inbox.
        _copy_inbox(engine.data / INBOX, data / INBOX)
        _copy_control(engine.control, data / CONTROL_FILE)
    if (engine.data / STATE).is_file():
        shutil.copyfile(engine.data / STATE, data / STATE)
    path = engine.configuration.path
    (configuration / "tipline.yml").write_text(engine.configuration.text, encoding="utf-8")
    sealed = SecretStore(path).path
    if sealed.is_file():
        shutil.copyfile(sealed, configuration / "tipline.secrets")
    files = {str(each.relative_to(staging)): each for each in sorted(staging.rglob("*")) if each.is_file()}
    return {
        "form": FORM, "tipline": __version__, "made": iso(engine.clock()),
        "instance": engine.configuration.settings.instance, "lake": LAKE_VERSION, "control": revision(engine.control),
        "files": {name: {"size": each.stat().st_size, "sha256": digest(each)} for name, each in files.items()},
        "left_out": list(LEFT_OUT),
    }  # fmt: skip


def _copy_control(control: Control, target: Path) -> None:
    with closing(control.engine.raw_connection()) as pooled, closing(sqlite3.connect(target)) as copy:
        source: Any = pooled.driver_connection
        source.backup(copy)


def _copy_inbox(source: Path, target: Path) -> None:
    for each in source.rglob("*") if source.is_dir() else ():
        if each.is_file() and not each.name.startswith("."):
            new = target / each.relative_to(source)
            new.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(each, new)
            except FileNotFoundError:
                continue  # its poll had committed, and has just taken it out


def _pack(staging: Path, manifest: dict[str, Any], file: IO[bytes]) -> None:
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True, threads=-1)
    with (
        compressor.stream_writer(file, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = json.dumps(manifest, indent=1).encode()
        head = tarfile.TarInfo(MANIFEST)
        head.size = len(text)
        tar.addfile(head, BytesIO(text))
        for name in manifest["files"]:
            member = tarfile.TarInfo(name)
            member.size, member.mode = manifest["files"][name]["size"], _PRIVATE
            with (staging / name).open("rb") as source:
                tar.addfile(member, source)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        for block in blocks(file):
            found.update(block)
    return found.hexdigest()


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """A file, a piece at a time."""
    while block := file.read(_BLOCK):
        yield block


def _new_path(engine: Engine) -> Path:
    folder = engine.data / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    stem = f"{engine.configuration.settings.instance}-{engine.clock():%Y%m%dT%H%M%S}"
    names = (f"{stem}{f'-{number}' if number > 1 else ''}{SUFFIX}" for number in count(1))
    return next(folder / name for name in names if not (folder / name).exists())


def _room(engine: Engine, target: Path) -> None:
    """Refuse before anything is copied what could fill the disk that the engine writes to."""
    size = sum(each.stat().st_size for each in engine.data.glob("*") if each.is_file())
    for place in (engine.data, target.parent):
        if not place.is_dir():
            raise StoreError("there is no such folder", where=str(place), fix="make it first")
        free = shutil.disk_usage(place).free
        if free < 2 * size:
            what = f"{2 * size / 1e9:,.1f} GB have to be free for a backup, and {free / 1e9:,.1f} are"
            raise StoreError(what, where=str(place), fix="make room, or write it to another disk")


def _described(target: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    files = [{"name": name, **each} for name, each in manifest["files"].items()]
    size = target.stat().st_size
    return {"name": target.name, "path": str(target), "size": size, **manifest, "files": files}
