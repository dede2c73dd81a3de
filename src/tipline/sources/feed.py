"""What every fetched text feed does: fetch, decode, read; one class a format stands on this."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.formats.base import Context
from tipline.formats.decode import DecodeSettings, Limits, decode
from tipline.sources.base import Poll, PollContext, Source, SourceSettings
from tipline.sources.fetch import FetchSettings, FetchState, Part, fetch


class EventSettings(BaseModel):
    """How its indicators become events, once there is an event store; until then kept for MISP's feed list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fixed: bool = Field(
        default=True,
        description="One event for all polls (MISP's fixed event); false: one for each. Kept for the event store to"
        " come, and for MISP's feed list.",
    )
    publish: bool = Field(
        default=False,
        description="Publish the event by itself. Kept for the event store to come, and for MISP's feed list; outputs"
        " follow at once, either way.",
    )


class FeedSettings(SourceSettings, FetchSettings, DecodeSettings):
    """Settings of every fetched feed."""

    event: EventSettings = Field(
        default_factory=EventSettings, description="For the event store to come, and for MISP's feed list."
    )


class Reading(Protocol):
    """Files of one feed that belong together."""

    def add(self, path: Path) -> object:
        """Look through a file, which must stay until the frames are read."""

    def frames(self) -> Iterator[pl.DataFrame]:
        """Raw frames of all files."""


class Feed(Source):
    """A feed behind an address or in files."""

    settings: FeedSettings
    # Whether all rows of a record come together, so that one that comes again takes back what it said before.
    whole_records: ClassVar[bool] = False
    # How bodies begin that the format reads as bytes, so that they are not decoded.
    opaque: ClassVar[tuple[bytes, ...]] = ()

    @abstractmethod
    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one decoded file."""

    def poll(self, context: PollContext) -> Poll:
        """Fetch on condition; unchanged bytes are not read again."""
        state = FetchState.from_json(context.cursor)
        fetched = fetch(self.settings, state, context.spool, base=context.base)
        reading = Context(feed=context.feed, warnings=fetched.warnings)
        return Poll(
            frames=self.frames(self._decoded(fetched.parts, context, reading), reading),
            cursor=fetched.state.to_json(),
            unchanged=fetched.not_modified,
            whole_records=self.whole_records,
            bytes=fetched.bytes,
            warnings=reading.warnings,
        )

    def frames(self, paths: Iterator[Path], context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of all files; each stands alone, unless a format says otherwise."""
        for path in paths:
            yield from self.read(path, context)

    def _decoded(self, parts: list[Part], context: PollContext, reading: Context) -> Iterator[Path]:
        limits = Limits(self.settings.max_unpacked, self.settings.max_ratio)
        for part in parts:
            decoded = decode(
                part.path,
                context.spool,
                limits,
                self.settings.charset,
                hint=part.charset,
                member=self.settings.member,
                opaque=self.opaque,
                feed=context.feed,
            )
            reading.warnings.extend(decoded.warnings)
            yield decoded.path


class LinkedFeed(Feed):
    """A feed whose files are read together: what stands in one may be about objects of another."""

    whole_records: ClassVar[bool] = True

    @abstractmethod
    def reading(self, context: Context) -> Reading:
        """What the files are added to."""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one file alone."""
        return self.frames(iter([path]), context)

    def frames(self, paths: Iterator[Path], context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of all files together."""
        reading = self.reading(context)
        for path in paths:
            reading.add(path)
        yield from reading.frames()
