"""MISP's search over its REST API (`events/restSearch`, `attributes/restSearch`): bodies, pages, answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tipline.errors import FetchError, FormatError
from tipline.formats import misp
from tipline.formats.base import Context
from tipline.formats.decode import Limits, decode
from tipline.sources import fetch_http
from tipline.sources.feed import FeedSettings
from tipline.sources.fetch_connect import Body
from tipline.sources.misp_rules import EventRules, Head

# Pages of one listing at most: a server that never ends is stopped.
_MOST_PAGES = 100_000


def like(words: list[str]) -> list[str]:
    """Words of a rule as MISP's search writes them."""
    return [word.replace("*", "%") for word in words]


def rule_filters(rules: EventRules) -> dict[str, Any]:
    """The search parameters that stand for rules."""
    tags, orgs = rules.event_tags, rules.organisations
    found: dict[str, Any] = {}
    wanted = {"OR": like(tags.any), "AND": like(tags.all), "NOT": like(tags.none)}
    if any(wanted.values()):
        found["tags"] = {name: words for name, words in wanted.items() if words}
    if orgs.any or orgs.none:
        found["org"] = [*like(orgs.any), *(f"!{word}" for word in like(orgs.none))]
    if rules.max_age is not None:
        found["timestamp"] = f"{int(rules.max_age.total_seconds())}s"
    return found


@dataclass
class Server:
    """A MISP server, as far as it is searched.

    Attributes:
        settings: of the source, with the key among the headers.
        format: limits of the answers.
        spool: directory for answers.
        feed: name for messages.
        bytes: received so far.
    """

    settings: FeedSettings
    format: misp.MispSettings
    spool: Path
    feed: str
    bytes: int = 0
    warnings: list[str] = field(default_factory=list)

    def search(self, scope: str, filters: Mapping[str, Any]) -> Any:
        """The answer to one search, as JSON.

        Args:
            scope: `events` or `attributes`.
            filters: parameters of restSearch.

        Raises:
            FetchError: it cannot be had.
            FormatError: the answer is not JSON, or says that the search failed.
        """
        url = f"{self.settings.url[0].rstrip('/')}/{scope}/restSearch"
        body = Body(json.dumps({"returnFormat": "json", **filters}).encode())
        try:
            part, _, size = fetch_http.get(self.settings, url, None, self.spool, body)
        except FetchError as error:
            raise _explained(error) from error
        if part is None:
            raise FetchError("the server answered that nothing changed, to a search", where=url)
        self.bytes += size
        limits = Limits(self.settings.max_unpacked, self.settings.max_ratio)
        decoded = decode(part.path, self.spool, limits, self.settings.charset, hint=part.charset, feed=part.name)
        document = misp.load(decoded.path, self.format, Context(feed=part.name, warnings=self.warnings))
        for path in {part.path, decoded.path}:
            path.unlink(missing_ok=True)
        _refuse_error(document, part.name)
        return document

    def heads(self, filters: Mapping[str, Any], page_size: int) -> Iterator[Head]:
        """Heads of the events that match, page by page, each once."""
        seen: set[str] = set()
        for document in self._pages("events", {**filters, "metadata": 1}, page_size):
            heads = [Head.of(event) for event in misp.events_in(document)]
            new = [head for head in heads if head.uuid and head.uuid not in seen]
            if not new:
                # The end, or a server that gives the same page for ever.
                return
            seen.update(head.uuid for head in new)
            yield from new

    def attributes(self, filters: Mapping[str, Any], page_size: int) -> Iterator[list[Mapping[str, Any]]]:
        """Attributes that match, page by page."""
        last: list[Any] = []
        for document in self._pages("attributes", filters, page_size):
            found = misp.attributes_in(document)
            names = [(attribute.get("uuid"), attribute.get("id")) for attribute in found]
            if not found or names == last:
                return
            last = names
            yield found

    def _pages(self, scope: str, filters: Mapping[str, Any], size: int) -> Iterator[Any]:
        for page in range(1, _MOST_PAGES + 1):
            yield self.search(scope, {**filters, "limit": size, "page": page})
        raise FormatError(f"the server gave {_MOST_PAGES:,} pages and more", where=self.feed, fix="raise page_size")


def _explained(error: FetchError) -> FetchError:
    """A refusal in terms of MISP."""
    if " 403 " in f" {error.what} " or " 401 " in f" {error.what} ":
        return FetchError(
            error.what,
            where=error.where,
            fix="is the key right, of a user who may use the API, and are its allowed addresses these?",
        )
    return error


def _refuse_error(document: Any, where: str) -> None:
    """Raise for an answer that is no result although its status says so."""
    if isinstance(document, list) or (isinstance(document, Mapping) and {"response", "Attribute"} & document.keys()):
        return
    said = ""
    if isinstance(document, Mapping):
        said = next((str(document[key]) for key in ("message", "name", "errors") if document.get(key)), "")
    raise FormatError(
        f"the answer is no result of a search: {said[:200]}" if said else "the answer is no result of a search",
        where=where,
        fix="is the address that of a MISP server?",
    )
