"""Which events of a MISP server or feed are wanted: one rule, whoever asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tipline.durations import Duration
from tipline.formats.misp_events import text
from tipline.formats.misp_tags import entries, truth
from tipline.kinds import Names


class TagRule(BaseModel):
    """Which tags an event must or must not have; `*` stands for any characters, case does not matter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    any: Names = Field(default_factory=list, description="At least one of these; empty: no demand.")
    all: Names = Field(default_factory=list, description="Each of these.")
    none: Names = Field(default_factory=list, description="None of these.")


class OrganisationRule(BaseModel):
    """Which organisations' events are wanted, by name or UUID."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    any: Names = Field(default_factory=list, description="Only of these; empty: of all.")
    none: Names = Field(default_factory=list, description="Not of these.")


class EventRules(BaseModel):
    """Rules for events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_tags: TagRule = Field(default_factory=TagRule, description="Which tags an event must or must not have.")
    organisations: OrganisationRule = Field(
        default_factory=OrganisationRule, description="Which creators' events to take."
    )
    max_age: Duration | None = Field(
        default=None, description="Leave out events whose timestamp is older, and withdraw them as they age."
    )


@dataclass(frozen=True)
class Head:
    """An event without its attributes.

    Attributes:
        uuid: lower case.
        timestamp: seconds since 1970; 0 if unknown.
        tags: names.
        organisations: the creator's name and UUID.
        published: None if the head does not say.
        attributes: how many it has; 0 if unknown.
        published_at: when it was last published, in seconds since 1970; 0 if never or unknown.
    """

    uuid: str
    timestamp: int
    tags: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()
    published: bool | None = None
    attributes: int = 0
    published_at: int = 0

    @classmethod
    def of(cls, meta: Mapping[str, Any], uuid: str | None = None) -> Head:
        """The head of an event, or of a manifest's entry, which is known by its key."""
        org = meta.get("Orgc") or meta.get("orgc")
        creator = (text(org.get("name")), text(org.get("uuid"))) if isinstance(org, Mapping) else ()
        return cls(
            uuid=(uuid or text(meta.get("uuid"))).lower(),
            timestamp=number(meta.get("timestamp")),
            tags=tuple(text(tag.get("name")) for tag in entries(meta, "Tag")),
            organisations=creator,
            published=truth(meta["published"]) if "published" in meta else None,
            attributes=number(meta.get("attribute_count")),
            published_at=number(meta.get("publish_timestamp")),
        )

    def joined(self, other: Head) -> Head:
        """This head with the tags and organisations of another as well: neither need be complete."""
        return replace(self, tags=(*self.tags, *other.tags), organisations=(*self.organisations, *other.organisations))


def number(value: Any) -> int:
    """A whole number, which MISP may write as a string; 0 for anything else."""
    found = text(value).strip()
    return int(found[:18]) if found.isascii() and found.isdigit() else 0


def wanted(rules: EventRules, head: Head, at: datetime) -> bool:
    """Whether the rules let an event through; `at` is the present, in UTC."""
    if rules.max_age is not None and head.timestamp < (at.replace(tzinfo=UTC) - rules.max_age).timestamp():
        return False
    tags, orgs = rules.event_tags, rules.organisations
    return (
        (not tags.any or _has(tags.any, head.tags))
        and all(_has([pattern], head.tags) for pattern in tags.all)
        and not _has(tags.none, head.tags)
        and (not orgs.any or _has(orgs.any, head.organisations))
        and not _has(orgs.none, head.organisations)
    )


def _has(patterns: Iterable[str], names: tuple[str, ...]) -> bool:
    return any(_pattern(pattern).fullmatch(name) for pattern in patterns for name in names)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    """A rule's word; MISP's own wildcard is `%`."""
    pieces = (re.escape(piece) for piece in re.split(r"[*%]", text))
    return re.compile(".*".join(pieces), re.IGNORECASE | re.DOTALL)
