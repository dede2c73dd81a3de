"""Reading a TAXII collection page by page: by token (2.1) or by ranges of items (2.0)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from tipline.errors import FetchError, FormatError
from tipline.formats.stixsurvey import objects, text
from tipline.sources.fetch_settings import Part
from tipline.sources.guardrails import mask_url
from tipline.sources.taxii_client import Client, Collection, Members, below


class TaxiiFaultError(FetchError):
    """The server breaks the protocol so that reading on makes no sense."""


@dataclass(frozen=True)
class Position:
    """How far a collection has been read; JSON between polls.

    Attributes:
        added_after: everything that was added up to then has been read.
        token: 2.1: where a reading that did not end goes on.
        start: 2.0: the item at which it goes on.
        last: the latest time of adding that it has met so far.
        more: 2.1: there is more behind `added_after`, of a server that says so without a token.
    """

    added_after: str | None = None
    token: str | None = None
    start: int = 0
    last: str | None = None
    more: bool = False

    @property
    def is_between(self) -> bool:
        """Whether a reading has not ended."""
        return bool(self.token or self.start or self.more)

    def restarted(self) -> Position:
        """The beginning of the same reading."""
        return Position(self.added_after)

    def to_json(self) -> dict[str, Any]:
        """A value that JSON can hold; empty at the very beginning."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        """What `to_json` gave."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})


@dataclass
class Walk:
    """Reads one list of a collection (objects, or its manifest) page by page.

    Args:
        client: for the server.
        collection: what is read.
        endpoint: `objects` or `manifest`.
        match: filters, such as {type: indicator}.
        size: items a page.
        load: takes a page in; returns the document's members and the `count` of its items.

    Attributes:
        keeps_place: whether a later poll can go on at a token. Where all pages have the same one, the server
            remembers what it has sent, and what was sent and not received would be lost.
    """

    client: Client
    collection: Collection
    endpoint: str
    match: Mapping[str, str]
    size: int
    load: Callable[[Path], Members]
    keeps_place: bool = True

    def page(self, at: Position) -> tuple[Position, Members, Part | None]:
        """Read one page.

        Returns:
            Where to go on (not `is_between` if this was the last page), the members, and the answer.

        Raises:
            FetchError: it cannot be had.
            FormatError: it is not what it should be.
        """
        dialect = self.collection.dialect
        accept = dialect.objects if self.endpoint == "objects" else dialect.accept
        span = f"items {at.start}-{at.start + self.size - 1}" if dialect.by_range else None
        before = self.client.digest
        try:
            part = self.client.fetch(self._url(at), accept, span)
        except FetchError as error:
            if error.status == 416 and span:
                return replace(at, start=0), {"count": 0}, None
            raise
        members = self.load(part.path)
        last = part.headers.get("x-taxii-date-added-last") or at.last
        if dialect.by_range:
            start = _next_item(part.headers, at, self.size, members["count"])
            return replace(at, start=start, last=last), members, part
        after = self._after(at, members, last)
        if after.token is not None and after.token == at.token:
            self.keeps_place = False
            if self.client.digest == before:
                raise self._fault("a page comes again")
        return after, members, part

    def _url(self, at: Position) -> str:
        query = {f"match[{name}]": value for name, value in self.match.items()}
        if at.added_after:
            query["added_after"] = at.added_after
        if not self.collection.dialect.by_range:
            query["limit"] = str(self.size)
            if at.token:
                query["next"] = at.token
        return below(self.collection.url, f"{self.endpoint}/") + ("?" + urlencode(query) if query else "")

    def _after(self, at: Position, members: Members, last: str | None) -> Position:
        """Where 2.1 goes on."""
        token = members.get("next")
        token = str(token) if isinstance(token, str | int) and token != "" else None
        if members.get("more") is not True:
            return replace(at, token=None, last=last, more=False)
        if token is None and last and last != at.added_after and members["count"]:
            return Position(last, last=last, more=True)
        if token is not None:
            return replace(at, token=token, last=last)
        raise self._fault("the server says that there is more, and not where")

    def _fault(self, what: str) -> TaxiiFaultError:
        return TaxiiFaultError(
            what,
            where=mask_url(self.collection.url),
            fix="this is a fault of the server; a larger or smaller page_size may avoid it",
        )


def _next_item(headers: Mapping[str, str], at: Position, size: int, count: int) -> int:
    """The item at which 2.0 goes on; 0 if there are no more. `Content-Range: items 0-99/1234`."""
    told = headers.get("content-range", "").lower().replace("items", "").strip(" =")
    span, _, total = told.partition("/")
    end = span.partition("-")[2]
    if not end.isdigit():
        return 0
    start = int(end[:15]) + 1
    if start <= at.start or not count or (total.isdigit() and start >= int(total[:15])):
        return 0
    return start if total.isdigit() or count >= size else 0


def last_added(walk: Walk, at: Position, pages: int) -> str | None:
    """The latest time of adding according to the manifest; None if there is no manifest."""
    found: list[str] = []

    def load(path: Path) -> Members:
        try:
            document = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError:
            document = None
        members = document if isinstance(document, dict) else {}
        path.unlink(missing_ok=True)
        entries = objects(members.get("objects"))
        found.extend(moment for each in entries if (moment := text(each.get("date_added"))))
        return {**members, "count": len(entries)}

    manifest = replace(walk, endpoint="manifest", load=load)
    position = at.restarted()
    for _ in range(pages):
        try:
            position, _, _ = manifest.page(position)
        except (FetchError, FormatError):
            return None
        if not position.is_between:
            return max(found, default=None)
    return None


def server_time(part: Part | None) -> str | None:
    """The server's own time of an answer (header `Date`), as TAXII writes it."""
    try:
        moment = parsedate_to_datetime(part.headers["date"] if part else "")
    except (KeyError, ValueError, TypeError):
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
