"""The server's log as JSON lines in the data directory, bounded in size, and how it is searched."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = "logs"
LEVELS = ("debug", "info", "warning", "error", "critical")
# The keys under which an event names the node that it is about.
_NODES = ("node", "source", "output")
_FILES = 5
_MOST_BYTES = 4 << 20  # of one file


class LogBook:
    """Appends events; when a file is full it is set aside, and the oldest one goes.

    Args:
        folder: where the files are; made if it is not there.
        most: bytes of one file; `_FILES` of them are kept.
    """

    def __init__(self, folder: Path, most: int = _MOST_BYTES) -> None:
        self.folder = folder
        self.most = most
        self._lock = threading.Lock()
        self._last = 0
        folder.mkdir(mode=0o700, exist_ok=True)

    def write(self, event: Mapping[str, Any]) -> None:
        """Append one event, without its secrets; a full disk loses it, and nothing else."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            line = json.dumps({"id": self._last, **event}, ensure_ascii=False, default=str) + "\n"
            try:
                path = _path(self.folder, 0)
                if path.exists() and path.stat().st_size + len(line) > self.most:
                    self._turn()
                with path.open("a", encoding="utf-8") as file:
                    path.chmod(0o600)
                    file.write(line)
            except OSError:
                return

    def _turn(self) -> None:
        for number in range(_FILES - 1, 0, -1):
            older = _path(self.folder, number - 1)
            if older.exists():
                older.replace(_path(self.folder, number))


@dataclass(frozen=True)
class Wanted:
    """Which events; what is empty does not matter.

    Attributes:
        level: the least level.
        node: the node that the event is about.
        text: words that all stand in the event, whatever their case.
        since, until: naive UTC.
        before: events older than the one of this number.
        nodes: only events about one of these nodes; None: all, and those about none.
    """

    level: str = ""
    node: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    nodes: Collection[str] | None = None

    def fits(self, event: Mapping[str, Any]) -> bool:
        """Whether an event is wanted, its text left aside."""
        about = {str(event[key]) for key in _NODES if event.get(key)}
        return (
            (self.nodes is None or bool(about & set(self.nodes)))
            and (not self.node or self.node in about)
            and (not self.level or _rank(str(event.get("level"))) >= _rank(self.level))
            and (self.before is None or event["id"] < self.before)
        )


def search(folder: Path, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """The newest events that are wanted, newest first."""
    words = wanted.text.casefold().split()
    found: list[dict[str, Any]] = []
    for line in _lines(folder):
        if words and not all(word in line.casefold() for word in words):
            continue
        event = _event(line)
        if event is None or not wanted.fits(event):
            continue
        moment = str(event.get("timestamp", ""))[:19]
        if wanted.until is not None and moment >= wanted.until.isoformat()[:19]:
            continue
        if wanted.since is not None and moment < wanted.since.isoformat()[:19]:
            break
        found.append(event)
        if len(found) == limit:
            break
    return found


def _lines(folder: Path) -> Iterator[str]:
    """Every line, the newest first."""
    for number in range(_FILES):
        try:
            text = _path(folder, number).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        yield from reversed(text.splitlines())


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None  # the process died while it wrote
    return event if isinstance(event, dict) and isinstance(event.get("id"), int) else None


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 0


def _path(folder: Path, number: int) -> Path:
    return folder / ("tipline.jsonl" if number == 0 else f"tipline.{number}.jsonl")
