"""A fetched body to UTF-8 text: compression by magic number, character sets; from file to file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from tipline.errors import FormatError
from tipline.formats.charset import to_utf8
from tipline.formats.spool import spooled
from tipline.formats.unpack import compression, unpacked

# A feed is often compressed once by its publisher (.gz, .zip) and once more by the web server.
_LAYERS = 2
# Output below this is harmless, whatever the ratio.
_FREE_BYTES = 32 << 20


class DecodeSettings(BaseModel):
    """How a body becomes text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    charset: str | None = Field(
        default=None,
        description="Character set; unset: by byte-order mark, UTF-8, else guessed with a warning.",
    )
    member: str | None = Field(
        default=None,
        description="Pattern (such as *.csv) that chooses one file of a zip archive with several.",
    )
    max_unpacked: int = Field(default=4 << 30, ge=1, description="Largest size of the unpacked body, in bytes.")
    max_ratio: int = Field(
        default=250,
        ge=2,
        description="Largest growth when unpacked, above 32 MiB: stops decompression bombs.",
    )


@dataclass(frozen=True)
class Limits:
    """How far a body may grow: bytes, and times its packed size (the latter above 32 MiB only)."""

    max_bytes: int = 4 << 30
    max_ratio: int = 250


@dataclass
class Decoded:
    """UTF-8 text (perhaps with a byte-order mark), and what there is to say about it."""

    path: Path
    warnings: list[str] = field(default_factory=list)


def decode(
    src: Path,
    dst_dir: Path,
    limits: Limits | None = None,
    charset: str | None = None,
    *,
    hint: str | None = None,
    member: str | None = None,
    opaque: tuple[bytes, ...] = (),
    feed: str = "",
) -> Decoded:
    """Unpack a body (up to two layers) and turn it into UTF-8.

    Args:
        src: the body; left as it is.
        dst_dir: where new files go; a plain UTF-8 body needs none, and `src` itself is returned.
        limits: of the unpacked size.
        charset: character set that the user says it has; overrides everything but a byte-order mark.
        hint: character set that the server says it has; used only if the body is not UTF-8.
        member: pattern that chooses a file of a zip archive.
        opaque: how bodies begin that are unpacked only, since the format reads them as bytes.
        feed: name, for messages.

    Raises:
        FormatError: a bomb, a damaged or encrypted archive, a zip member that is not told, binary data.
        FetchError: the disk is full.
    """
    made: list[Path] = []
    warnings: list[str] = []
    path: Path | None = None
    try:
        path = _unpack(src, dst_dir, limits or Limits(), member, feed=feed, made=made)
        target = _new(dst_dir, made)
        if not _begins(path, opaque) and to_utf8(path, target, charset, hint, feed=feed, warnings=warnings):
            path = target
    except BaseException:
        path = None
        raise
    finally:
        for file in made:
            if file != path:
                file.unlink(missing_ok=True)
    return Decoded(path, warnings)


def _begins(path: Path, opaque: tuple[bytes, ...]) -> bool:
    with path.open("rb") as stream:
        return bool(opaque) and stream.read(max(map(len, opaque))).startswith(opaque)


def _unpack(path: Path, dst_dir: Path, limits: Limits, member: str | None, *, feed: str, made: list[Path]) -> Path:
    for _ in range(_LAYERS):
        kind = compression(path)
        if kind is None:
            return path
        target = _new(dst_dir, made)
        with spooled(target, feed) as out:
            for block in _limited(unpacked(path, kind, member, feed), path.stat().st_size, limits, feed):
                out.write(block)
        path = target
    if compression(path) is not None:
        raise FormatError("the body is packed more than twice", where=feed, fix="unpack it before it is fetched")
    return path


def _new(directory: Path, made: list[Path]) -> Path:
    path = directory / f"{uuid.uuid4().hex}.part"
    made.append(path)
    return path


def _limited(blocks: Iterator[bytes], packed: int, limits: Limits, feed: str) -> Iterator[bytes]:
    """The blocks, until they are too many.

    Raises:
        FormatError: the limit is passed.
    """
    size = 0
    by_ratio = max(_FREE_BYTES, packed * limits.max_ratio)
    for block in blocks:
        size += len(block)
        if size > limits.max_bytes:
            raise FormatError(
                f"the body is larger than {limits.max_bytes:,} bytes when unpacked",
                where=feed,
                fix="raise max_unpacked if the feed is that large",
            )
        if size > by_ratio:
            raise FormatError(
                f"the body grows more than {limits.max_ratio} times when unpacked: a decompression bomb?",
                where=feed,
                fix="raise max_ratio if the feed is all right",
            )
        yield block
