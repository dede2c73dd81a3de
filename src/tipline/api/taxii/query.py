"""What a request asks for: filters, limit, and the position from which a page goes on.

Facts: TAXII 2.1 sections 3.4 (filtering) and 3.5 (paging).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from tipline.api.taxii.media import TaxiiError
from tipline.engine.taxiistore import Wanted, milliseconds
from tipline.outputs.taxii_objects import Spec, stored_id, version_of

DEFAULT_LIMIT, MOST = 1_000, 5_000
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_WORDS = {"first", "last", "all"}
_FORM = "1"
_DIGEST_BYTES = 9


@dataclass(frozen=True)
class Filters:
    """Which objects are asked for.

    Attributes:
        added_after: naive UTC.
        ids, types, versions, specs: None: all. We hold one version of an object: the first, the last and all.
    """

    added_after: datetime | None = None
    ids: frozenset[str] | None = None
    types: frozenset[str] | None = None
    versions: frozenset[datetime] | None = None
    specs: frozenset[str] | None = None

    def wanted(self, spec: Spec) -> Wanted | None:
        """The filters for the store; None if no indicator can pass them."""
        if self.types is not None and "indicator" not in self.types:
            return None
        known = (stored_id(each, spec) for each in self.ids or ())
        ids = None if self.ids is None else tuple(sorted(each for each in known if each))
        versions = None if self.versions is None else tuple(sorted(self.versions))
        return None if ids == () else Wanted(self.added_after, ids, versions)

    def lets(self, content: Mapping[str, Any], added: datetime) -> bool:
        """Whether one of the objects passes that the store does not have."""
        return (
            (self.added_after is None or milliseconds(added) > self.added_after)
            and (self.ids is None or content["id"] in self.ids)
            and (self.types is None or content["type"] in self.types)
            and (self.versions is None or moment(version_of(content), "version") in self.versions)
        )

    def for_object(self, identifier: str) -> Filters:
        """The same for one object."""
        return replace(self, ids=frozenset({identifier}))


def filters(query: Mapping[str, str]) -> Filters:
    """Read the filters of an address.

    Raises:
        TaxiiError: 400, a moment that is none.
    """
    after = query.get("added_after")
    versions = _listed(query, "version")
    chosen = None
    if versions is not None and not versions & _WORDS:
        chosen = frozenset(moment(each, "match[version]") for each in versions)
    return Filters(
        None if not after else moment(after, "added_after"),
        _listed(query, "id"),
        _listed(query, "type"),
        chosen,
        _listed(query, "spec_version"),
    )


def limit(query: Mapping[str, str]) -> int:
    """How many objects a page may have; never more than we give.

    Raises:
        TaxiiError: 400, no positive number.
    """
    text = query.get("limit", "")
    if not text:
        return DEFAULT_LIMIT
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise _bad("limit must be a whole number, 1 or more")
    return min(int(text), MOST)


def moment(text: str, name: str) -> datetime:
    """A moment as RFC 3339 writes it, as naive UTC.

    Raises:
        TaxiiError: 400, it is none.
    """
    try:
        # A plus sign that was not escaped arrives as a blank.
        found = datetime.fromisoformat(text.strip().replace(" ", "+"))
        if found.tzinfo is not None:
            return found.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        pass
    raise _bad(f"{name} must be a moment such as 2026-01-31T12:00:00.000Z")


@dataclass(frozen=True)
class Cursor:
    """Writes and reads `next`: the position of the last object, for one collection and the same filters.

    Attributes:
        collection: its identifier and when it was made: after a new beginning, old positions mean nothing.
        asked: the filters.
    """

    collection: str
    asked: Filters

    def write(self, position: int) -> str:
        """The text that goes on behind a position."""
        head = f"{_FORM}.{position}".encode()
        return base64.urlsafe_b64encode(self._digest(head) + head).decode().rstrip("=")

    def read(self, text: str) -> int | None:
        """The position; None without a text.

        Raises:
            TaxiiError: 400, the text was not written for this collection and these filters.
        """
        if not text:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        digest, head = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        version, _, number = head.decode("latin-1").partition(".")
        if version != _FORM or not hmac.compare_digest(digest, self._digest(head)):
            raise _bad("next is not from this collection with these filters; begin again without it")
        return int(number)

    def _digest(self, head: bytes) -> bytes:
        asked = self.asked
        parts = [asked.ids, asked.types, asked.versions, asked.specs]
        named = [asked.added_after, *(None if part is None else sorted(map(str, part)) for part in parts)]
        key = hashlib.blake2b(self.collection.encode()).digest()
        return hashlib.blake2b(head + repr(named).encode(), key=key, digest_size=_DIGEST_BYTES).digest()


def _listed(query: Mapping[str, str], name: str) -> frozenset[str] | None:
    text = query.get(f"match[{name}]", "")
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    return words or None


def _bad(why: str) -> TaxiiError:
    return TaxiiError(HTTPStatus.BAD_REQUEST, why)
