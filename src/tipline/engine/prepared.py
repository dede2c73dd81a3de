"""Prepared files: one version of a list in one dialect, with what has to be known to serve it."""

from __future__ import annotations

import hashlib
import json
import zlib
from bisect import bisect_right
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import zstandard

from tipline.engine.atomic import replacing
from tipline.outputs.render import EXTENSIONS, Context, Dialect, Rendered, layout
from tipline.outputs.render.layouts import VERSION

Encoding = Literal["identity", "gzip", "zstd"]
SUFFIXES: dict[Encoding, str] = {"identity": "", "gzip": ".gz", "zstd": ".zst"}
META = ".meta"
# Lists that ask for a key lie here too.
PRIVATE = 0o600
_CHUNK = 1 << 18
_GZIP_LEVEL = 5
_ZSTD_LEVEL = 3


@dataclass(frozen=True)
class Version:
    """A version of an output's list.

    Attributes:
        output: the output's number in the lake.
        created: when it was made; two outputs may have had one number.
        seq: the number of its last change.
        changed: when that was, UTC; after a restored backup a number may come again.
    """

    output: int
    created: str
    seq: int
    changed: str

    def moment(self) -> datetime:
        """When the list last changed, naive UTC."""
        return datetime.fromisoformat(self.changed)

    def covers(self, other: Version) -> bool:
        """Whether it is the other version, or a later one of the same output."""
        return self == other or (self.follows(other) and self.seq > other.seq)

    def follows(self, other: Version) -> bool:
        """Whether the other is the same or an earlier version of the same output."""
        same = (self.output, self.created) == (other.output, other.created)
        return self == other or (same and self.seq >= other.seq)

    def context(self, name: str) -> Context:
        """What a dialect may say of the list."""
        return Context(name, self.seq, self.moment())

    def digest(self, dialect: Dialect) -> str:
        """Names the bytes of this version in a dialect: equal digests, equal bytes."""
        parts = [VERSION, self.output, self.created, self.seq, self.changed, dialect.text()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Prepared:
    """A prepared file.

    Attributes:
        version: the version of the list.
        dialect: how it is written.
        path: the uncompressed file; compressed ones lie beside it.
        made: what was written into it.
    """

    version: Version
    dialect: Dialect
    path: Path
    made: Rendered

    def file(self, encoding: Encoding) -> Path:
        """The file of an encoding; whether it exists yet is another matter."""
        return self.path.with_name(self.path.name + SUFFIXES[encoding])

    @property
    def tag(self) -> str:
        """A strong entity tag without its quotes: the same in every process that sends the same bytes."""
        return self.path.stem

    @property
    def context(self) -> Context:
        """Which list and version it is; its folder has the list's name."""
        return self.version.context(self.path.parent.name)

    def files(self) -> set[str]:
        """Names of all files that may belong to it."""
        return {self.path.stem + META, *(self.path.name + suffix for suffix in SUFFIXES.values())}

    def page(self, start: int, count: int | None) -> tuple[int, int]:
        """Where in the file records start to start + count lie: (first byte, byte after the last).

        What stands around the records (a header, brackets) is not in it.
        """
        around = layout(self.dialect, self.context)
        rows, last = self.made.rows, self.made.size - len(around.tail)
        end = rows if count is None else min(start + count, rows)
        if start >= end:
            return last, last
        with self.path.open("rb") as file:
            first = self._offset(file, start)
            return first, last if end == rows else self._offset(file, end) - around.lead

    def _offset(self, file: BinaryIO, record: int) -> int:
        """The byte at which a record starts: from the nearest mark on, line feeds are counted."""
        known, offset = self.made.marks[bisect_right(self.made.marks, (record, self.made.size)) - 1]
        file.seek(offset)
        for _ in range(record - known):
            offset += len(file.readline())
        return offset


def path_of(folder: Path, version: Version, dialect: Dialect) -> Path:
    """Where the prepared file of a version in a dialect lies."""
    return folder / f"{version.seq}-{version.digest(dialect)}.{EXTENSIONS[dialect.format]}"


def save_meta(prepared: Prepared) -> None:
    """Write what is known beside the file; from then on it counts as prepared."""
    values = {
        "version": asdict(prepared.version),
        "dialect": prepared.dialect.text(),
        "made": asdict(prepared.made),
    }
    with replacing(prepared.path.with_suffix(META), PRIVATE) as new:
        new.file.write(json.dumps(values).encode())


def load(meta: Path) -> Prepared | None:
    """The prepared file that a meta file describes; None if it is damaged or its file is not as described."""
    try:
        values: dict[str, Any] = json.loads(meta.read_bytes())
        version, dialect = Version(**values["version"]), Dialect.parse(values["dialect"])
        marks = tuple((row, offset) for row, offset in values["made"]["marks"])
        made = Rendered(**{**values["made"], "marks": marks})
        prepared = Prepared(version, dialect, path_of(meta.parent, version, dialect), made)
        fits = prepared.path.stem == meta.stem and prepared.path.stat().st_size == prepared.made.size
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return prepared if fits else None


def compress(prepared: Prepared, encoding: Encoding) -> None:
    """Make the compressed file of a prepared one, unless it is there."""
    target = prepared.file(encoding)
    if encoding == "identity" or target.exists():
        return
    squeeze: Any = (
        zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31)
        if encoding == "gzip"
        else zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj(size=prepared.made.size)
    )
    with prepared.path.open("rb") as source, replacing(target, PRIVATE) as new:
        while chunk := source.read(_CHUNK):
            new.file.write(squeeze.compress(chunk))
        new.file.write(squeeze.flush())
