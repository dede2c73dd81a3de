"""Decompression by magic number, block by block."""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import zstandard

from tipline.errors import FormatError

Kind = Literal["gzip", "zip", "zstd", "bz2", "xz"]
BLOCK = 1 << 20
# Memory that a decompressor may take for its window.
_WINDOW_BYTES = 128 << 20
_MAGIC: dict[bytes, Kind] = {
    b"\x1f\x8b\x08": "gzip",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
}
_BZ2_STARTS = (b"1AY&SY", b"\x17rE8P\x90")
_BROKEN = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    zipfile.BadZipFile,
    struct.error,
)


def compression(path: Path) -> Kind | None:
    """How a file is packed; None if it is not."""
    with path.open("rb") as stream:
        head = stream.read(10)
    if head.startswith(b"BZh") and head[4:10] in _BZ2_STARTS:
        return "bz2"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def unpacked(path: Path, kind: Kind, member: str | None, feed: str) -> Iterator[bytes]:
    """What is in the file, in blocks of about a mebibyte.

    Raises:
        FormatError: it is damaged, cut off, encrypted, or which member is meant cannot be told.
    """
    try:
        if kind == "zip":
            yield from _zip(path, member, feed)
        elif kind == "xz":
            yield from _xz(path)
        elif kind == "zstd":
            yield from _zstd(path)
        else:
            with (gzip.open if kind == "gzip" else bz2.open)(path, "rb") as stream:
                yield from _blocks(stream)
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FormatError(
            f"the {kind} body is damaged or cut off: {error}",
            where=feed,
            fix="the next poll may bring it whole",
        ) from error


def _blocks(stream: IO[bytes] | gzip.GzipFile | bz2.BZ2File) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _zstd(path: Path) -> Iterator[bytes]:
    """Frames one after the other; `stream_reader` takes a frame that is cut off for whole.

    A kibibyte at a time, since it may become 32 MiB (a block of 128 KiB takes four bytes).
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    frame = decompressor.decompressobj()
    whole = False
    with path.open("rb") as raw:
        while data := raw.read(1024):
            while data:
                if whole:
                    frame = decompressor.decompressobj()
                if block := frame.decompress(data):
                    yield block
                whole = frame.eof
                data = frame.unused_data if whole else b""
    if not whole:
        raise EOFError("the end of the frame is missing")


def _xz(path: Path) -> Iterator[bytes]:
    """Streams one after the other; `lzma.open` has no limit for memory."""
    with path.open("rb") as raw:
        data = raw.read(BLOCK)
        while data:
            decompressor = lzma.LZMADecompressor(memlimit=_WINDOW_BYTES)
            while not decompressor.eof:
                if block := decompressor.decompress(data, max_length=BLOCK):
                    yield block
                data = b""
                if decompressor.needs_input and not decompressor.eof and not (data := raw.read(BLOCK)):
                    raise EOFError("the end of the stream is missing")
            # Streams may be padded with zero bytes.
            data = decompressor.unused_data.lstrip(b"\0")
            while not data and (more := raw.read(BLOCK)):
                data = more.lstrip(b"\0")


def _zip(path: Path, member: str | None, feed: str) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        info = _chosen(archive, member, feed)
        if info.flag_bits & 1:
            raise FormatError(f"{info.filename} in the zip archive is encrypted", where=feed, fix="ask for a plain one")
        try:
            with archive.open(info) as stream:
                while block := stream.read(BLOCK):
                    yield block
        except NotImplementedError as error:  # zipfile's word for a compression that it does not know
            raise FormatError(f"the zip archive cannot be unpacked: {error}", where=feed) from error


def _chosen(archive: zipfile.ZipFile, member: str | None, feed: str) -> zipfile.ZipInfo:
    files = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    wanted = [info for info in files if member is None or fnmatch.fnmatchcase(info.filename, member)]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(info.filename for info in files[:20]) or "nothing"
    which = f"{len(wanted) or 'none'} of them match {member!r}" if member else f"{len(files)} files"
    raise FormatError(
        f"which file of the zip archive is meant? ({which})",
        where=feed,
        fix=f"set `member` to a pattern that matches one of: {names}",
    )
