"""Writes the files of `file` outputs."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import duckdb

from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.errors import StoreError
from tipline.outputs.file import FileKind
from tipline.outputs.render import Context, Rendered, render
from tipline.store.allowance import WRITING
from tipline.store.schema import published_table

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Written:
    """What became of a file: where it is, what it holds, and whether it had to be replaced."""

    path: Path
    made: Rendered
    replaced: bool


def write(engine: Engine, name: str) -> Written:
    """Write a `file` output as it is published now; a file that holds just that already is left untouched.

    Raises:
        StoreError: it cannot be written; the message says why, and the file is as it was.
    """
    output = engine.graph.outputs[name]
    if not isinstance(output, FileKind):
        raise StoreError(f"{name} is no file output", where=name)
    path, mode = output.path(engine.data), output.permissions()
    try:
        if engine.data in path.parents:
            _make_folders(engine.data, path.parent)
        return engine.lake.memory.tried(WRITING, f"file {name}", lambda: _written(engine, output, path, mode))
    except (OSError, duckdb.Error) as exc:
        raise _explain(exc, path, name) from exc


def _written(engine: Engine, output: FileKind, path: Path, mode: int) -> Written:
    with replacing(path, mode) as new:
        with engine.lake.reading() as con:
            number = engine.graph.ids[output.name]
            context = _context(con, number, output.name)
            made = render(con, published_table(number), output.dialect(), new.file, context)
        new.needed = not _same(new.file, path, mode)
    return Written(path, made, new.needed)


def _context(con: duckdb.DuckDBPyConnection, number: int, name: str) -> Context:
    """The version that is written; there must be one, as an empty file would say that nothing is blocked."""
    row = con.execute("SELECT seq, as_of FROM output_state WHERE output = ?", [number]).fetchone()
    if row is None or (row[1] is None and row[0] == 0):
        raise StoreError(f"{name} has not been evaluated yet; its file is left as it is", where=name)
    # Only what changed: a time of evaluation would make every file differ from the one before.
    found = con.execute(f"SELECT max(since) FROM {published_table(number)}").fetchone()
    return Context(name, row[0], *(moment for moment in found or () if moment is not None))


def _make_folders(data: Path, folder: Path) -> None:
    """Make a folder inside the data directory, step by step, following no link out of it."""
    here = data
    for part in folder.relative_to(data).parts:
        here /= part
        if here.is_symlink():
            raise StoreError("it is a symbolic link, not a folder", where=str(here), fix="make it a folder")
        here.mkdir(exist_ok=True)


def _same(file: BinaryIO, path: Path, mode: int) -> bool:
    """Whether the file at `path` has these permissions and this text (the new file's position is moved)."""
    file.flush()
    try:
        with path.open("rb") as old:
            found = os.fstat(old.fileno())
            if found.st_mode & 0o777 != mode or found.st_size != file.tell():
                return False
            file.seek(0)
            while chunk := file.read(_CHUNK):
                if chunk != old.read(len(chunk)):
                    return False
    except FileNotFoundError:
        return False
    return True


def _explain(exc: OSError | duckdb.Error, path: Path, name: str) -> StoreError:
    known = {
        errno.ENOSPC: ("the disk is full", "free some space"),
        errno.EDQUOT: ("the disk quota is used up", "free some space"),
        errno.EACCES: ("permission denied", "let the program's user write to the folder"),
        errno.EPERM: ("permission denied", "let the program's user write to the folder"),
        errno.EROFS: ("the file system is read-only", "choose another path"),
        errno.ENOENT: ("its folder does not exist", "make the folder"),
        errno.ENOTDIR: ("its folder is no folder", "choose another path"),
    }
    number = exc.errno if isinstance(exc, OSError) else None
    what, fix = known.get(number or 0, (str(exc).splitlines()[0][:300], "see the log"))
    return StoreError(f"{name} could not be written: {what}; the old file stays", where=str(path), fix=fix)
