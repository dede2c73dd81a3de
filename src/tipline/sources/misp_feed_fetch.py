"""The files of a MISP feed: one folder behind an address or on disk, several events at the same time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tipline.errors import FetchError, TiplineError
from tipline.formats.decode import Limits, decode
from tipline.sources import fetch_files, fetch_http
from tipline.sources.feed import FeedSettings
from tipline.sources.fetch_settings import PartState
from tipline.sources.guardrails import mask_url

# So many events in a row that cannot be fetched mean that the server is down, not that events are broken.
_PATIENCE = 5


@dataclass
class Folder:
    """A feed's folder.

    Attributes:
        settings: of the source.
        spool: directory for what is fetched.
        base: what a relative path is relative to.
        concurrent: how many files are fetched at the same time.
        bytes: received so far.
        untried: events that were not asked for, since the server does not answer.
    """

    settings: FeedSettings
    spool: Path
    base: Path
    concurrent: int
    bytes: int = 0
    untried: list[str] = field(default_factory=list)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def place(self, name: str) -> str:
        """Where a file is, without secrets."""
        return mask_url(_within(self.settings.url[0], name))

    def fetch(self, name: str, before: PartState | None) -> tuple[Path | None, PartState]:
        """A file as UTF-8 text, and what to remember of it; no file if it is as it was `before`.

        Raises:
            FetchError: it cannot be had.
            FormatError: it cannot be unpacked.
        """
        url = _within(self.settings.url[0], name)
        if url.lower().startswith(("http://", "https://")):
            part, state, size = fetch_http.get(self.settings, url, before, self.spool)
        else:
            path = fetch_files.files(url, self.base, [])[0]
            part, state, size = fetch_files.copy(path, before, self.spool, self.settings.max_bytes)
        with self._counting:
            self.bytes += size
        if part is None:
            return None, state
        if before is not None and state.sha256 == before.sha256:
            part.path.unlink(missing_ok=True)
            return None, state
        limits = Limits(self.settings.max_unpacked, self.settings.max_ratio)
        charset, member = self.settings.charset, self.settings.member
        decoded = decode(part.path, self.spool, limits, charset, hint=part.charset, member=member, feed=part.name)
        if decoded.path != part.path:
            part.path.unlink(missing_ok=True)
        return decoded.path, state

    def events(self, uuids: Iterable[str]) -> Iterator[tuple[str, Path | TiplineError]]:
        """Each event's file, or why there is none; fetched a few ahead of the reading, in order."""
        waiting: deque[tuple[str, Future[Path]]] = deque()
        left, down = iter(uuids), 0
        pool = ThreadPoolExecutor(self.concurrent, thread_name_prefix="misp-feed")
        try:
            while True:
                while len(waiting) < 2 * self.concurrent and (uuid := next(left, None)) is not None:
                    waiting.append((uuid, pool.submit(self._event, uuid)))
                if not waiting:
                    return
                uuid, future = waiting.popleft()
                found = _outcome(future)
                down = down + 1 if isinstance(found, FetchError) and found.retryable else 0
                yield uuid, found
                if down >= _PATIENCE:
                    self.untried = [*(uuid for uuid, _ in waiting), *left]
                    return
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _event(self, uuid: str) -> Path:
        path, _ = self.fetch(f"{uuid}.json", None)
        if path is None:
            raise FetchError("the server answered that nothing changed, unasked", where=self.place(uuid))
        return path


def _outcome(future: Future[Path]) -> Path | TiplineError:
    try:
        return future.result()
    except TiplineError as error:
        return error


def _within(folder: str, name: str) -> str:
    """The address of a file in a folder; a query goes with it, since it may be a key."""
    if "://" not in folder:
        return f"{folder.rstrip('/')}/{name}"
    parts = urlsplit(folder)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))
