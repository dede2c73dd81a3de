"""The warning-list format: MISP's `list.json`, a list of well-known benign values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tipline.errors import FormatError
from tipline.formats.misp_types import SPLITTERS
from tipline.model.types import NARROWED, TYPES, type_of_word

Match = Literal["string", "substring", "hostname", "cidr", "regex"]
MATCHES: tuple[Match, ...] = ("string", "substring", "hostname", "cidr", "regex")

_MOST_ENTRIES = 5_000_000
_WORDS = ("name", "description", "type")
HOSTS = frozenset({"domain", "url"})
ADDRESSES = frozenset({"ipv4", "ipv6"})


@dataclass(frozen=True)
class WarningListText:
    """A list as it was written.

    Attributes:
        title, description, version: for people.
        match: how its entries are compared.
        types: which types of ours it speaks of; empty if it speaks of none that tipline knows.
        entries: as they stand.
        digest: of all that matters.
        category: `false_positive` or `known`, if the file says so.
    """

    title: str
    description: str
    version: str
    match: Match
    types: tuple[str, ...]
    entries: tuple[str, ...]
    digest: str
    category: str | None = None


def read(body: bytes, name: str) -> WarningListText:
    """A warning list from its JSON.

    Args:
        body: the file.
        name: for messages.

    Raises:
        FormatError: it is no warning list, or too large.
    """
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise _no_list(name, "the body is no JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("list"), list):
        raise _no_list(name, "there is no `list` in it")
    missing = [word for word in _WORDS if not isinstance(found.get(word), str)]
    if missing:
        raise _no_list(name, f"it has no {' and no '.join(missing)}")
    if found["type"] not in MATCHES:
        raise _no_list(name, f"its type is {found['type'][:40]!r}, none of {', '.join(MATCHES)}")
    if len(found["list"]) > _MOST_ENTRIES:
        raise _no_list(name, f"it has {len(found['list']):,} entries, and {_MOST_ENTRIES:,} are the most")
    entries = tuple(dict.fromkeys(each.strip() for each in found["list"] if isinstance(each, str) and each.strip()))
    attributes = found.get("matching_attributes") or []
    types = types_of([each for each in attributes if isinstance(each, str)], found["type"])
    category = found.get("category") if found.get("category") in {"false_positive", "known"} else None
    matters = json.dumps([found["type"], types, sorted(entries)]).encode()
    return WarningListText(
        found["name"][:300], found["description"][:2000], str(found.get("version", ""))[:40], found["type"], types,
        entries, hashlib.sha256(matters).hexdigest()[:32], category,
    )  # fmt: skip


def types_of(attributes: Iterable[str], match: Match) -> tuple[str, ...]:
    """The types of ours that a list is about, from MISP's names of attributes; all of them if it names none.

    Both halves of composite attributes (`domain|ip`) count only where a list names nothing else.
    """
    names = list(attributes)
    words = [name for name in names if name not in SPLITTERS] or [half for name in names for half in name.split("|")]
    found: set[str] = set()
    for word in words:
        meant = type_of_word(word)
        if meant is not None:
            found |= set(NARROWED.get(meant, (meant,)))
    if "filename" in words:
        found.add("file-path")
    wanted = found if names else set(TYPES)
    if match == "cidr":
        wanted &= ADDRESSES
    if match == "hostname":
        wanted &= HOSTS
    return tuple(name for name in TYPES if name in wanted)


def _no_list(name: str, what: str) -> FormatError:
    return FormatError(
        f"this is no warning list of MISP's: {what}", where=name,
        fix="a list.json has name, description, version, type, matching_attributes and list",
    )  # fmt: skip
