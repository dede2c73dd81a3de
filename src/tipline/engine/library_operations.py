"""Operations on ready-made sources, and on feeds that nobody has described."""

from __future__ import annotations

import base64
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

from tipline.config.guess import guess
from tipline.config.library import Entry, Status, entry, search, source_of
from tipline.engine.feed_operations import FeedOperations
from tipline.engine.operation import operation
from tipline.engine.people import RequestError
from tipline.errors import FetchError
from tipline.formats.decode import Limits
from tipline.sources.base import Source
from tipline.sources.fetch_settings import FetchSettings

# Of a fetch, what a person away from the machine may say: nothing that opens its files or its network.
SIGN_IN = frozenset({"headers", "basic", "bearer", "api_key", "user_agent"})
MOST_BYTES = 16 << 20  # of a text or file
SAMPLE = "feed.txt"  # stands for the address of what came without one
# Whoever asks waits for the answer: a fetch is short, and tried once.
_FETCH = {"max_bytes": 64 << 20, "max_time": 60, "retries": 0}
_UNPACKED = Limits(256 << 20)
_SECONDS = 20  # of reading what was fetched
_LOOKING = threading.BoundedSemaphore(4)
_PATIENCE = 10  # seconds to wait for one of these
# Settings by which feeds behind one address differ.
_PARTS = ("rows", "collection")


class BusyError(RequestError):
    """Too much is asked at the same time; `wait` in seconds."""

    code = "too-many"
    wait = float(_PATIENCE)


class UnreachableError(RequestError):
    """The address that was given cannot be fetched."""


class LibraryOperations(FeedOperations):
    """Search, show, add; and try."""

    @operation
    def library_search(
        self, words: str = "", *, status: Status | None = None, tlp: str | None = None
    ) -> dict[str, Any]:
        """The entries of the library in which every word occurs, each with the sources that read it already.

        Args:
            words: anything that stands in an entry.
            status: live, needs-key or dead; all unless given.
            tlp: clear, green, amber, amber+strict or red; all unless given.
        """
        found = [each for each in search(words) if status in {None, each.status} and tlp in {None, each.tlp}]
        return {"entries": [self._shown(each) for each in found]}

    @operation
    def library_show(self, name: str) -> dict[str, Any]:
        """One entry of the library, with the sources that read it already."""
        return self._shown(entry(name))

    @operation
    def library_add(
        self,
        name: str,
        base: int | None = None,
        *,
        node: str | None = None,
        settings: dict[str, Any] | None = None,
        into: list[str] | None = None,
        message: str = "",
        user: str = "",
    ) -> dict[str, Any]:
        """Put an entry's source into the configuration, and that to work.

        Args:
            name: of the entry.
            base: the version it is put into; the one that runs, if not given.
            node: name of the source; the entry's if not given.
            settings: laid over the entry's; the source is the asker's team's unless they say otherwise.
            into: processors and outputs that shall read it.
            message: why; kept with the version.
            user: who asks.
        """
        body, message = source_of(name, settings or {}), message or f"{name} added from the library"
        return self.feed_add(node or name, base, settings=body, into=into, message=message, user=user)

    @operation
    def try_(
        self,
        url: str | None = None,
        *,
        body: str | None = None,
        encoded: str | None = None,
        settings: dict[str, Any] | None = None,
        exact: bool = False,
        filename: str = "",
    ) -> dict[str, Any]:
        """Look at a feed behind a public address, or at a text or file, and guess the source that reads it.

        Args:
            url: http:// or https://; private addresses are refused.
            body: instead of it, the feed's text.
            encoded: instead of both, a file in base64, compressed or not.
            settings: of the format, or to sign in; they win over what is guessed.
            exact: the settings are whole, with their kind, and nothing is guessed.
            filename: what the file is called, for the source's name.
        """
        given = settings or {}
        refused = sorted((given.keys() & FetchSettings.model_fields.keys()) - SIGN_IN)
        if refused:
            raise RequestError(f"{refused[0]} cannot be given here", fix="use tipline try on the machine itself")
        if sum(each is not None for each in (url, body, encoded)) != 1:
            raise RequestError("give either an address, a text or a file", fix="give one of url, body and encoded")
        if url is not None and not url.lower().startswith(("http://", "https://")):
            raise RequestError("this is no web address", fix="give one that begins with https://")
        if not _LOOKING.acquire(timeout=_PATIENCE):
            raise BusyError("others are looking at feeds", fix="try again in a minute")
        try:
            if url is not None:
                return guess(url, given, limits=_FETCH, unpacked=_UNPACKED, seconds=_SECONDS, exact=exact).as_dict()
            given_body = _decoded(encoded) if body is None else body.encode(errors="replace")
            return _of_bytes(given_body, filename, given, exact=exact)
        except FetchError as exc:
            raise UnreachableError(exc.what, where=exc.where, fix=exc.fix) from exc
        finally:
            _LOOKING.release()

    def _shown(self, found: Entry) -> dict[str, Any]:
        """An entry, and which of the sources that the asker sees read the same."""
        sources = self.engine.configuration.sources
        using = [name for name in self._seen(sources) if _reads(sources[name], found)]
        return {**found.as_dict(), "in_use": using}


def _reads(source: Source, found: Entry) -> bool:
    """Whether a source reads what an entry reads: the same address, and the same part of what is there."""
    urls = getattr(source.settings, "url", None) or []
    return found.reads(urls) and all(
        getattr(source.settings, part, None) == found.source[part] for part in _PARTS if part in found.source
    )


def _decoded(encoded: str | None) -> bytes:
    try:
        return base64.b64decode(encoded or "", validate=True)
    except ValueError:
        raise RequestError("encoded is not base64", fix="encode the file's bytes in base64") from None


def _of_bytes(body: bytes, filename: str, given: dict[str, Any], *, exact: bool) -> dict[str, Any]:
    """What is guessed of a text or file; its source has to be given an address by the person."""
    if len(body) > MOST_BYTES:
        raise RequestError("this is longer than 16 MiB", fix="give a part of it, or its address")
    with tempfile.TemporaryDirectory(prefix="tipline-try-") as folder:
        path = Path(folder) / (re.sub(r"[^A-Za-z0-9._-]+", "-", filename)[-80:].lstrip(".-") or SAMPLE)
        path.write_bytes(body)
        found = guess(str(path), given, unpacked=_UNPACKED, seconds=_SECONDS, exact=exact)
    found.settings["url"] = SAMPLE
    return found.as_dict()
