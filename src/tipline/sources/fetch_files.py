"""Feeds in files: `file://` addresses, paths, globs and directories.

A directory gives its regular files in order of name, without hidden ones and sub-directories. A path that is
written out may be a symbolic link; one that a glob or a directory brings up is skipped, with a warning, if it
leads outside the place that was named. Devices, pipes and sockets are refused.
"""

from __future__ import annotations

import hashlib
import stat
import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tipline.errors import FetchError
from tipline.formats.spool import spooled
from tipline.sources.fetch_settings import Part, PartState

_BLOCK = 1 << 20
_WILD = "*?["


def files(url: str, base: Path, warnings: list[str]) -> list[Path]:
    """The files that an address, path, glob or directory stands for, sorted.

    Args:
        url: `file:///path`, a path, a glob (`**` descends), or a directory.
        base: what a relative path is relative to.
        warnings: where skipped links are told.

    Raises:
        FetchError: there is no such file, or none at all.
    """
    path = base / _path(url)
    if not path.exists() and any(character in str(path) for character in _WILD):
        root = _fixed_part(path)
        found = root.glob(str(path.relative_to(root)))
    elif path.is_dir():
        root, found = path, (file for file in path.iterdir() if not file.name.startswith("."))
    else:
        return [path]
    kept = sorted(file for file in found if file.is_file() and _inside(file, root, warnings))
    if not kept:
        raise FetchError(f"no file matches {url}", where=url, fix="check the path; is the directory filled yet?")
    return kept


def _path(url: str) -> Path:
    if not url.lower().startswith("file:"):
        if "://" in url:
            raise FetchError(f"addresses of this kind are not fetched: {url.split('://', maxsplit=1)[0]}://", where=url)
        return Path(url).expanduser()
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise FetchError("a file:// address names another machine", where=url, fix="write file:///path")
    return Path(unquote(url[len("file:") :].split("?", maxsplit=1)[0].removeprefix("//localhost").removeprefix("//")))


def _fixed_part(path: Path) -> Path:
    """The directories of a glob before its first wild one."""
    fixed = Path(path.anchor)
    for name in path.parts[1 if path.anchor else 0 : -1]:
        if any(character in name for character in _WILD):
            break
        fixed /= name
    return fixed


def _inside(file: Path, root: Path, warnings: list[str]) -> bool:
    if file.resolve().is_relative_to(root.resolve()):
        return True
    warnings.append(f"{file}: skipped, since it is a link that leads outside {root}")
    return False


def copy(path: Path, before: PartState | None, spool: Path, max_bytes: int) -> tuple[Part | None, PartState, int]:
    """Copy a file to the spool, so that what is read is what was hashed.

    Args:
        path: of the file.
        before: state of the last fetch; the file is not read if its inode, size and times are as they were.
        spool: directory for the copy.
        max_bytes: largest file.

    Raises:
        FetchError: missing, unreadable, no regular file, or too large.
    """
    where = str(path)
    target = spool / f"{uuid.uuid4().hex}.body"
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise FetchError("this is not a regular file", where=where, fix="give a file, a glob or a directory")
        etag = f"{info.st_ino}-{info.st_size}-{info.st_mtime_ns}-{info.st_ctime_ns}"
        if before is not None and before.etag == etag:
            return None, before, 0
        size, digest = 0, hashlib.sha256()
        with path.open("rb") as source, spooled(target, where) as out:
            while block := source.read(_BLOCK):
                size += len(block)
                if size > max_bytes:
                    raise FetchError(f"the file is larger than {max_bytes:,} bytes", where=where, fix="raise max_bytes")
                digest.update(block)
                out.write(block)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FetchError(
            f"the file cannot be read: {reason}", where=where, fix="check the path and its rights"
        ) from error
    return Part(target, where), PartState(etag, None, digest.hexdigest()), size
