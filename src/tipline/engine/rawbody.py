"""The head of the last body that each source fetched: what it really said, for people who wonder.

One small compressed file a source, in the data directory; what was unchanged or failed leaves the one before.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from tipline.engine.atomic import replacing

log = structlog.get_logger()

MOST = 64 << 10  # bytes kept of a body
_FOLDER = "bodies"
_ENDING = ".body"
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Head:
    """The beginning of a body.

    Attributes:
        at: when it was fetched.
        size: bytes of the whole body, as it was sent.
        text: its beginning; bytes that are no UTF-8 are replaced.
        cut: whether there was more.
    """

    at: datetime
    size: int
    text: str
    cut: bool


def keep_head(spool: Path, data: Path, source: str) -> None:
    """Keep the head of what a poll has fetched, if it has fetched anything.

    Args:
        spool: where the poll left the bodies.
        data: the data directory.
        source: its name.
    """
    try:
        bodies = sorted(spool.glob(f"*{_ENDING}"), key=lambda each: each.stat().st_mtime_ns)
        if not bodies:
            return
        with bodies[0].open("rb") as file:
            head = _unpacked(file.read(MOST))
        size = sum(each.stat().st_size for each in bodies)
        folder = data / _FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        with replacing(_path(data, source), 0o600) as new:
            new.file.write(gzip.compress(b"%d\n" % size + head[:MOST], mtime=0))
    except OSError as exc:
        log.warning("head of a body not kept", source=source, error=exc.strerror or str(exc))


def head_of(data: Path, source: str) -> Head | None:
    """The head of the last body of a source; None: nothing was fetched yet."""
    path = _path(data, source)
    try:
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
        size, _, head = gzip.decompress(path.read_bytes()).partition(b"\n")
    except (OSError, EOFError, zlib.error):
        return None
    return Head(at, int(size), head.decode("utf-8", "replace"), int(size) > len(head))


def forget_heads(data: Path, sources: set[str]) -> None:
    """Remove what was kept of sources that are no more."""
    for path in (data / _FOLDER).glob("*.gz"):
        if path.stem not in sources:
            path.unlink(missing_ok=True)


def _path(data: Path, source: str) -> Path:
    return data / _FOLDER / f"{source}.gz"


def _unpacked(head: bytes) -> bytes:
    """The beginning of what a compressed body holds; another body as it is."""
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, MOST)
    except zlib.error:
        return head
