"""Writes files so that a reader, a crash or a full disk never meets half of one."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tipline.errors import StoreError

# How names of unfinished files start; nobody but a writer that is running needs one.
UNFINISHED = ".unfinished-"
_BUFFER = 1 << 20


@dataclass
class Replacement:
    """A file in the making; it is thrown away if `needed` is set to False."""

    file: BinaryIO
    needed: bool = True


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Replacement]:
    """A new file that takes the place of `path` once the block ends well; on any error the old one stays.

    Everything happens relative to the opened folder and no link is followed in it, so that whoever can write
    there cannot lead the writer elsewhere.

    Args:
        path: the file; its folder must exist.
        mode: permission bits.

    Raises:
        StoreError: `path` is a link, a folder or a device.
        OSError: it cannot be written (no space, no permission, no folder).
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _refuse_odd(path, folder)
        temporary = UNFINISHED + secrets.token_hex(8)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "w+b", buffering=_BUFFER) as file:
                new = Replacement(file)
                yield new
                if new.needed:
                    file.flush()
                    os.fchmod(file.fileno(), mode)
                    os.fsync(file.fileno())
            if new.needed:
                os.replace(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
    finally:
        os.close(folder)


def _refuse_odd(path: Path, folder: int) -> None:
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no regular file"
        raise StoreError(f"it is {what}, and is left alone", where=str(path), fix="remove it, or choose another path")
