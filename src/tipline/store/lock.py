"""One process owns a data directory; others learn from it where that process listens."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from tipline.errors import StoreError

LOCK, SERVER = "lock", "server.json"
_TRIES, _PAUSE = 5, 0.05


class DirectoryLock:
    """Exclusive hold of a data directory for the life of this object.

    Raises:
        StoreError: another process holds it, or it cannot be made or written.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = (directory / LOCK).open("a+")
        except OSError as exc:
            raise StoreError(
                f"the data directory cannot be used: {exc.strerror}",
                where=str(directory),
                fix="make it writable for the user that runs tipline, or set another one with data:",
            ) from exc
        if not self._take():
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise StoreError(
                f"another tipline (process {holder}) has the data directory",
                where=str(directory),
                fix="stop it, or give this one a data directory of its own",
            )
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def _take(self) -> bool:
        """Take the lock; a command that only looks whether somebody has it holds it for a moment."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(_PAUSE)
            else:
                return True
        return False

    def release(self) -> None:
        """Let go."""
        (self.directory / SERVER).unlink(missing_ok=True)
        self._file.close()


def announce(directory: Path, url: str, token: str) -> None:
    """Tell other commands where this process listens (readable by its user alone)."""
    path = directory / SERVER
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": os.getpid(), "url": url, "token": token}, file)


def running(directory: Path) -> dict[str, Any] | None:
    """Where the process that owns the directory listens; None if there is none."""
    try:
        with (directory / LOCK).open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        try:
            found: dict[str, Any] = json.loads((directory / SERVER).read_text())
        except (OSError, ValueError):
            return None
        return found
    return None
