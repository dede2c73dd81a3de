"""Files that other programs drop into a folder or bucket."""

from __future__ import annotations

import fnmatch
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
import structlog
from pydantic import BeforeValidator, Field, SecretStr, field_validator

from tipline.durations import Duration
from tipline.errors import FetchError, FormatError
from tipline.kinds import NodeSettings
from tipline.sources import fetch_files, fetch_objects
from tipline.sources.ageing import parse_expire
from tipline.sources.base import Poll, PollContext, Source, SourceSettings
from tipline.sources.bodies import Body, feed_for, read_body, unreadable

_log = structlog.get_logger()
DONE, FAILED = "done", "failed"
# Files that were read and stay are known by their names and states; of more than these, the first are forgotten.
_MOST_KNOWN = 100_000


class WatchSettings(SourceSettings):
    """Settings of `watch`: each file is read once."""

    mode: Literal["append"] = Field(default="append", description="Always append.")
    expire: Annotated[list[str], BeforeValidator(parse_expire)] = Field(
        description="When indicators leave: never, added + 90d, last_seen + 7d, or a list (earliest wins)."
    )
    every: Duration = Field(default=timedelta(minutes=1), description="Time between looks.")
    folder: str = Field(
        min_length=1,
        description="The folder (relative to the configuration), or s3://, az:// or gs:// with bucket and folder.",
    )
    pattern: str = Field(default="*", description="Names of files to read, such as *.csv; hidden files are never read.")
    format: str = Field(
        default="lines", description="The kind of feed that reads them: csv, json, lines, stix2, misp-file, ..."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Settings of that kind for reading, such as {columns: {value: 2}}."
    )
    settle: Duration = Field(
        default=timedelta(seconds=10),
        description="A file is read once it did not change for so long; 0s where files are renamed into the folder.",
    )
    after: Literal["move", "delete", "keep"] = Field(
        default="move", description="What becomes of a file: moved to done/ or failed/ in the folder, deleted, or kept."
    )
    max_bytes: int = Field(default=1 << 30, ge=1, description="Largest file, in bytes.")
    storage: dict[str, SecretStr] = Field(
        default_factory=dict, description="Options of the object store, as fsspec's s3fs, adlfs and gcsfs name them."
    )

    @field_validator("pattern")
    @classmethod
    def _is_a_name(cls, text: str) -> str:
        if "/" in text or not text:
            raise ValueError("pattern is for names of files, without /")
        return text


@dataclass(frozen=True)
class _Dropped:
    """A file that lies in the folder: its name, place, and what tells whether it is the same as before."""

    name: str
    place: str
    state: str


class Watch(Source):
    """Reads files that are dropped into a folder or bucket, each once, and puts them aside."""

    kind: ClassVar[str] = "watch"
    Settings: ClassVar[type[NodeSettings]] = WatchSettings
    settings: WatchSettings
    example: ClassVar[str] = """\
kind: watch
folder: incoming
pattern: "*.csv"
format: csv
expire: added + 30d
"""

    def __init__(self, name: str, settings: WatchSettings) -> None:
        super().__init__(name, settings)
        self._feed = feed_for(settings.format, settings.options, settings, "options")

    def poll(self, context: PollContext) -> Poll:
        """Read the first file that is new; each is a poll, so that each has its account."""
        known: dict[str, str] = dict(context.cursor.get("known", {}))
        there = list(self._there(context.base))
        present = {file.name: file.state for file in there}
        # What was read by a process that died before it could put it aside.
        for file in [each for each in there if known.get(each.name) == each.state]:
            self._put_aside(file, DONE, context.base)
        kept = {name: state for name, state in known.items() if present.get(name) == state}
        new = [file for file in there if known.get(file.name) != file.state]
        if not new:
            return Poll(iter(()), {"known": kept}, unchanged=True)
        first = new[0]
        try:
            body, frames, fate = self._read(first, context)
        except FormatError as exc:
            body, frames, fate = Body(), iter([unreadable(first.name, exc)]), FAILED
        kept = dict([*kept.items(), (first.name, first.state)][-_MOST_KNOWN:])
        return Poll(
            frames,
            cursor={"known": kept},
            whole_records=body.whole_records,
            settled=lambda: self._put_aside(first, fate, context.base),
            more=len(new) > 1,
            note=f"file {first.name}",
            warnings=body.warnings,
        )

    def _read(self, file: _Dropped, context: PollContext) -> tuple[Body, Iterator[pl.DataFrame], str]:
        copied, _, _ = (
            fetch_objects.copy(file.place, self.settings.storage, None, context.spool, self.settings.max_bytes)
            if self._is_remote
            else fetch_files.copy(Path(file.place), None, context.spool, self.settings.max_bytes)
        )
        if copied is None:
            raise FetchError("the file could not be copied", where=file.name)
        body = read_body(self._feed, copied.path, context, file.name)
        return body, body.frames(), DONE

    @property
    def _is_remote(self) -> bool:
        return fetch_objects.is_object(self.settings.folder)

    def _there(self, base: Path) -> Iterator[_Dropped]:
        """The files that are complete, by name."""
        if self._is_remote:
            yield from self._remote()
            return
        folder = self._folder(base)
        if not folder.is_dir():
            raise FetchError("there is no such folder", where=str(folder), fix="make it")
        settled = time.time() - self.settings.settle.total_seconds()
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            if not self._wanted(entry.name):
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            # Links are left alone: whoever may write here may not read elsewhere.
            if stat.S_ISREG(found.st_mode) and max(found.st_mtime, found.st_ctime) <= settled:
                state = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
                yield _Dropped(entry.name, entry.path, state)

    def _remote(self) -> Iterator[_Dropped]:
        """Objects are there whole or not at all, so that nothing has to settle."""
        folder = self.settings.folder.rstrip("/")
        scheme = folder.partition("://")[0]
        for entry in fetch_objects.listing(folder, self.settings.storage):
            name = entry.name.rsplit("/", 1)[-1]
            if self._wanted(name):
                yield _Dropped(name, f"{scheme}://{entry.name}", entry.version)

    def _wanted(self, name: str) -> bool:
        return not name.startswith(".") and fnmatch.fnmatchcase(name, self.settings.pattern)

    def _folder(self, base: Path) -> Path:
        return base / Path(self.settings.folder).expanduser()

    def _put_aside(self, file: _Dropped, fate: str, base: Path) -> None:
        """Move or delete a file that was read; one that cannot be is known by the cursor, and is not read again."""
        if self.settings.after == "keep":
            return
        is_deleted = self.settings.after == "delete" and fate == DONE
        try:
            if self._is_remote:
                target = None if is_deleted else f"{self.settings.folder.rstrip('/')}/{fate}/{file.name}"
                fetch_objects.move(file.place, target, self.settings.storage)
            elif is_deleted:
                Path(file.place).unlink(missing_ok=True)
            else:
                aside = self._folder(base) / fate
                aside.mkdir(exist_ok=True)
                Path(file.place).rename(_free(aside / file.name))
        except (OSError, FetchError) as error:
            _log.warning("a file that was read stays in its folder", source=self.name, file=file.name, error=str(error))


def _free(path: Path) -> Path:
    """A path that no file has yet: those of earlier files of this name stay."""
    number = 0
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
