"""Operations on ready-made sources, and on feeds that nobody has described."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

from tipline.config.guess import guess
from tipline.config.library import entry, search, source_of
from tipline.engine.draft_operations import DraftOperations
from tipline.engine.operation import operation
from tipline.engine.people import RequestError
from tipline.sources.fetch_settings import FetchSettings

# Of a fetch, what a person away from the machine may say: nothing that opens its files or its network.
_SIGN_IN = {"headers", "basic", "bearer", "api_key", "user_agent"}
_MOST = 16 << 20  # characters of a body
# Whoever asks waits for the answer: a fetch is short, and tried once.
_LIMITS = {"max_bytes": 64 << 20, "max_time": 60, "retries": 0}


class LibraryOperations(DraftOperations):
    """Search, show, add; and try."""

    @operation
    def library_search(self, words: str = "") -> dict[str, Any]:
        """The entries of the library in which every word occurs."""
        return {"entries": [found.as_dict() for found in search(words)]}

    @operation
    def library_show(self, name: str) -> dict[str, Any]:
        """One entry of the library."""
        return entry(name).as_dict()

    @operation
    def library_add(
        self,
        name: str,
        base: int | None = None,
        *,
        node: str | None = None,
        settings: dict[str, Any] | None = None,
        approve: bool = False,
        user: str = "",
    ) -> dict[str, Any]:
        """Put an entry's source into the configuration, and that to work.

        Args:
            name: of the entry.
            base: the version it is put into; the one that runs, if not given.
            node: name of the source; the entry's if not given.
            settings: laid over the entry's.
            approve: let the first evaluation pass the guards.
            user: who asks.
        """
        section: Literal["sources"] = "sources"
        body, node = source_of(name, settings or {}), node or name
        if node in self.engine.configuration.nodes():
            raise RequestError(f"there is a node {node} already", fix="choose another name")
        base = self._configuring.current()["version"] if base is None else base
        message = f"{name} added from the library"
        return self.put_node(section, node, base, settings=body, message=message, approve=approve, user=user)

    @operation
    def try_(
        self, url: str | None = None, *, body: str | None = None, settings: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Look at a feed behind a public address, or at a text, and guess the source that reads it.

        Args:
            url: http:// or https://; private addresses are refused.
            body: instead of it, the feed's text.
            settings: of the format, or to sign in; they win over what is guessed.
        """
        given = settings or {}
        refused = sorted((given.keys() & FetchSettings.model_fields.keys()) - _SIGN_IN)
        if refused:
            raise RequestError(f"{refused[0]} cannot be given here", fix="use tipline try on the machine itself")
        if (url is None) == (body is None):
            raise RequestError("give either an address or a text", fix="give url or body")
        if url is not None:
            if not url.lower().startswith(("http://", "https://")):
                raise RequestError("this is no web address", fix="give one that begins with https://")
            return guess(url, given, limits=_LIMITS).as_dict()
        return _of_text(body or "", given)


def _of_text(body: str, given: dict[str, Any]) -> dict[str, Any]:
    """What is guessed of a text; its source has to be given an address by the person."""
    if len(body) > _MOST:
        raise RequestError("the text is longer than 16 MiB", fix="give a part of it, or its address")
    with tempfile.TemporaryDirectory(prefix="tipline-try-") as folder:
        path = Path(folder) / "feed.txt"
        path.write_text(body, encoding="utf-8", errors="replace")
        found = guess(str(path), given)
    found.settings["url"] = "feed.txt"
    return found.as_dict()
