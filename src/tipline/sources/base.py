"""What every source kind shares: settings, and the one method that yields frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from tipline.durations import Duration
from tipline.formats.base import nearest
from tipline.kinds import Kind, Names, NodeSettings, Sort, Tlp
from tipline.model.policy import CONFIDENCE_WORDS, Policy
from tipline.model.types import NARROWED, TYPES, type_of_word
from tipline.sources.ageing import parse_expire

# An allow-list entry with this tag takes out the very value, not what lies below it.
EXACT = "exact"
# In `Poll.superseded`: every record of the source.
EVERY_GROUP = "*"


class GuardSettings(BaseModel):
    """When a bad poll is stopped (snapshot sources)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Whether polls are guarded at all.")
    max_withdrawn: float = Field(
        default=0.5, ge=0, le=1, description="Share of the indicators that may leave in one poll."
    )
    min_withdrawn: int = Field(default=20, ge=0, description="Withdrawals below this number never trip the guard.")
    max_growth: float = Field(default=10, gt=1, description="Factor by which a poll may grow the source.")
    min_growth: int = Field(default=100, ge=0, description="A source with fewer indicators than this may grow at will.")
    accepted_drop: float = Field(
        default=0.5, ge=0, le=1, description="Fall of the share of accepted lines that counts as a collapse."
    )
    release_after: Duration = Field(
        default=timedelta(hours=24), description="A hold ends by itself when the candidates agree for this long."
    )
    agreement: float = Field(
        default=0.9, ge=0, le=1, description="How alike the candidates of two polls must be to agree."
    )


class SourceSettings(NodeSettings):
    """Settings of every source."""

    mode: Literal["snapshot", "append"] = Field(
        default="snapshot",
        description="snapshot: a poll lists everything and absence withdraws; append: a poll brings what is new.",
    )
    every: Duration = Field(default=timedelta(hours=1), description="Time between polls.")
    enabled: bool = Field(default=True, description="Whether the source is polled.")
    type: str | None = Field(default=None, description="The type of all its indicators; unset: per row, else detected.")
    types: list[str] | None = Field(
        default=None, description="Types to take, such as [ipv4, ipv6, sha256]; others are dropped as unwanted."
    )
    confidence: int | None = Field(default=None, ge=0, le=100, description="For indicators that carry none (else 50).")
    reliability: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description="How much its confidence weighs where an `aggregate` merges by `confidence: weighted` (else 50).",
    )
    tlp: Tlp | None = Field(default=None, description="For indicators that carry none (else amber).")
    actionable: bool = Field(default=True, description="For indicators that do not say (MISP's to_ids).")
    direction: Literal["inbound", "outbound"] | None = Field(
        default=None, description="For indicators that do not say."
    )
    tags: Names = Field(default_factory=list, description="Tags added to every indicator.")
    threat_types: Names = Field(default_factory=list, description="Threat types added to every indicator.")
    description: str | None = Field(default=None, description="For indicators that carry none.")
    expire: Annotated[list[str], BeforeValidator(parse_expire)] = Field(
        default_factory=lambda: ["left + 0s"],
        description="When indicators leave: never, left + 30d, added + 90d, last_seen + 7d, or a list (earliest wins).",
    )
    stale_after: Duration | None = Field(
        default=timedelta(days=30),
        description="A source that fails for this long is withdrawn, with an alert; null: never.",
    )
    guard: GuardSettings = Field(default_factory=GuardSettings, description="Stops bad polls.")
    confidence_map: dict[str, int] = Field(
        default_factory=dict, description="Words for confidence, such as {high: 80}."
    )
    time_zone: str = Field(default="UTC", description="Zone of timestamps that carry none.")
    time_format: str | None = Field(default=None, description="strftime form of timestamps; unset: recognised.")
    allow_non_routable: bool = Field(default=False, description="Take private, loopback and reserved addresses.")
    allow_wide: bool = Field(default=False, description="Take networks wider than IPv4 /8 or IPv6 /16.")
    allow_public_suffixes: bool = Field(default=False, description="Take public suffixes such as co.uk.")
    allow_unknown_tld: bool = Field(default=False, description="Take domains under unknown top-level domains.")
    allow_wildcards: bool = Field(default=False, description="Take *.example.com and .example.com as example.com.")

    @field_validator("type")
    @classmethod
    def _known_word(cls, word: str | None) -> str | None:
        if word is not None and type_of_word(word) is None:
            raise ValueError(f"there is no type {word!r}: {_types_like(word, [*TYPES, *NARROWED])}")
        return word

    @field_validator("types")
    @classmethod
    def _names_of_types(cls, words: list[str] | None) -> list[str] | None:
        """Values are judged before they are chosen, so that only names of types can match."""
        for word in words or []:
            if word in TYPES:
                continue
            meant = type_of_word(word)
            if meant is None:
                raise ValueError(f"there is no type {word!r}: {_types_like(word, list(TYPES))}")
            if meant in NARROWED:
                raise ValueError(f"{word!r} is not one type: write those wanted of {', '.join(NARROWED[meant])}")
            raise ValueError(f"there is no type {word!r}: write {meant}")
        return words

    def policy(self, *, allow_list: bool) -> Policy:
        """The normalisation rules for this source; allow-lists accept what feeds may not hold."""
        free = allow_list
        return Policy(
            allow_non_routable=free or self.allow_non_routable,
            allow_wide=free or self.allow_wide,
            allow_public_suffixes=free or self.allow_public_suffixes,
            allow_unknown_tld=free or self.allow_unknown_tld,
            allow_wildcards=free or self.allow_wildcards,
            fixed_type=self.type,
            types=frozenset(self.types) if self.types else None,
            time_format=self.time_format,
            time_zone=self.time_zone,
            confidence_map={**CONFIDENCE_WORDS, **{word.lower(): n for word, n in self.confidence_map.items()}},
        )


@dataclass
class PollContext:
    """What a poll may use: where to spool, what the last poll left as its cursor, the time, and what was pushed."""

    spool: Path
    cursor: dict[str, Any]
    as_of: datetime
    feed: str
    base: Path = Path()
    inbox: Path = Path()


@dataclass
class Poll:
    """What one poll brings: frames to read, and the cursor to keep once they are committed.

    With `whole_records` all rows of a record come together, dropped ones among them: in append mode the claims that
    an earlier poll made of a record and this one does not list again are withdrawn. A row that is dropped (`revoked`,
    `deleted`) and names its record is how a record is taken back. Records named `<group>/<rest>` are taken back
    together by naming their group in `superseded` (or one record by its whole name): what is not listed again goes.
    `kept` takes groups out of EVERY_GROUP. Both may grow while the frames are read.

    With `withdraws` the rows are not claims: what they name is taken back, from the records that begin with it.
    `large`: much will come, although `bytes` does not tell it yet; the database then keeps to little memory.
    `settled` is called when all is committed and the run is on record; `more` asks for another poll at once.
    """

    frames: Iterator[pl.DataFrame]
    cursor: dict[str, Any]
    unchanged: bool = False
    whole_records: bool = False
    superseded: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    withdraws: str | None = None
    settled: Callable[[], None] | None = None
    more: bool = False
    note: str = ""
    bytes: int = 0
    large: bool = False
    warnings: list[str] = field(default_factory=list)


def _types_like(word: str, names: list[str]) -> str:
    return nearest(word, names) or f"there are {', '.join(names)}"


class Source(Kind[SourceSettings]):
    """A source kind: `poll` yields raw frames."""

    sort: ClassVar[Sort] = "source"
    Settings: ClassVar[type[NodeSettings]] = SourceSettings

    @abstractmethod
    def poll(self, context: PollContext) -> Poll:
        """Fetch and read once.

        Raises:
            FetchError: the feed cannot be fetched.
            FormatError: the feed is not what the settings say.
        """
