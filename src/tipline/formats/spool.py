"""Files that are being written: removed when anything goes wrong, and a full disk said in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tipline.errors import FetchError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def spooled(path: Path, where: str) -> Iterator[BinaryIO]:
    """A new file for writing, which is removed again if the block raises.

    Args:
        path: of the file; its directory exists.
        where: feed, for messages.

    Raises:
        FetchError: the disk is full or the directory cannot be written.
    """
    try:
        with path.open("wb") as stream:
            yield stream
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in _FULL:
            raise FetchError(
                f"the disk that holds {path.parent} is full",
                where=where,
                fix="free some space; the last good state is kept, and the next poll tries again",
            ) from error
        if error.filename == str(path):
            raise FetchError(
                f"{path.parent} cannot be written: {error.strerror}",
                where=where,
                fix="check the data directory",
            ) from error
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
