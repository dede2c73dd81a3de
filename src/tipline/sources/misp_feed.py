"""MISP feeds: a folder with manifest.json, a file for each event, and perhaps hashes.csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import structlog
from pydantic import Field, model_validator

from tipline.errors import FetchError, FormatError, TiplineError
from tipline.formats import misp
from tipline.formats.base import Context
from tipline.formats.misp_events import Rows, text
from tipline.kinds import NodeSettings
from tipline.sources.base import EVERY_GROUP, Poll, PollContext, Source
from tipline.sources.feed import FeedSettings
from tipline.sources.misp_feed_fetch import Folder
from tipline.sources.misp_feed_state import FeedState, digests, heads_of
from tipline.sources.misp_rules import EventRules, Head, wanted

_log = structlog.get_logger()
_MANIFEST, _HASHES = "manifest.json", "hashes.csv"


class MispFeedSettings(FeedSettings, misp.MispSettings, EventRules):
    """Settings of `misp-feed`."""

    mode: Literal["snapshot", "append"] = Field(
        default="append", description="Always append: a poll reads what changed; what left it is withdrawn."
    )
    published: bool = Field(default=False, description="Take published events only.")
    hashes: bool = Field(
        default=True, description="Read hashes.csv, to see events that change without a new timestamp."
    )
    concurrent: int = Field(default=4, ge=1, le=32, description="Events fetched at the same time.")

    @model_validator(mode="after")
    def _one_folder(self) -> MispFeedSettings:
        if len(self.url) != 1:
            raise ValueError("url: give one folder, and make a source of each feed")
        if self.mode != "append":
            raise ValueError("mode: leave it out, since a poll reads only the events that changed")
        return self


# Events whose attributes may be very many together: a first poll, or one with more than these.
_MANY_EVENTS = 100


class MispFeed(Source):
    """A MISP feed: manifest.json and a file for each event, of which only new and changed ones are read."""

    kind: ClassVar[str] = "misp-feed"
    Settings: ClassVar[type[NodeSettings]] = MispFeedSettings
    settings: MispFeedSettings
    example: ClassVar[str] = """\
kind: misp-feed
url: https://feeds.example.org/misp
event_tags: {none: ['type:test']}
every: 6h
"""

    def poll(self, context: PollContext) -> Poll:
        """Read the manifest; frames then bring the events that it says are new or changed."""
        folder = Folder(self.settings, context.spool, context.base, self.settings.concurrent)
        poll = Poll(iter(()), cursor={}, whole_records=True)
        reading = _Reading(self.settings, context, folder, FeedState.of(context.cursor), poll)
        changed = reading.changed()
        if changed is None:
            poll.unchanged, poll.bytes = True, folder.bytes
        else:
            poll.frames = reading.frames(changed)
            poll.large = not context.cursor or len(changed) > _MANY_EVENTS
        return poll


@dataclass
class _Reading:
    """One poll's work: what to read, and what came of it."""

    settings: MispFeedSettings
    context: PollContext
    folder: Folder
    state: FeedState
    poll: Poll
    read: int = 0
    failures: list[TiplineError] = field(default_factory=list)

    def changed(self) -> dict[str, Head] | None:
        """The events to read, by the manifest; None if nothing is new there. Events that left it are over."""
        state = self.state
        doubted = self._changed_hashes() | set(state.failed)
        # Age alone can end an event's time, and a failed event is tried again: both need the manifest.
        known = None if doubted or self.settings.max_age else state.parts.get(_MANIFEST)
        path, state.parts[_MANIFEST] = self.folder.fetch(_MANIFEST, known)
        if path is None:
            return None
        listed = self._listed(path)
        gone = [uuid for uuid in state.events if uuid not in listed]
        # Without a cursor (the first poll, or other settings) whatever was said before is over.
        self.poll.superseded.extend(gone if self.context.cursor else [EVERY_GROUP])
        state.events = {uuid: stamp for uuid, stamp in state.events.items() if uuid in listed}
        return {
            uuid: head for uuid, head in listed.items() if uuid in doubted or state.events.get(uuid) != head.timestamp
        }

    def frames(self, changed: dict[str, Head]) -> Iterator[pl.DataFrame]:
        """Raw frames of the events; the cursor is complete after the last.

        Raises:
            FetchError: none of the events could be fetched, so that the feed as a whole has failed.
        """
        self.state.failed = []
        rows = Rows(self.settings.confidence_map, self.settings.local_tags)
        for uuid, found in self.folder.events(changed):
            if isinstance(found, Path):
                yield from self._event(rows, changed[uuid], found)
            else:
                self._failed(uuid, found)
        if len(rows):
            yield rows.take()
        self._finish()

    def _changed_hashes(self) -> set[str]:
        """Events of which hashes.csv says something else than last time."""
        if not self.settings.hashes:
            return set()
        try:
            path, self.state.parts[_HASHES] = self.folder.fetch(_HASHES, self.state.parts.get(_HASHES))
        except FetchError:
            # Many feeds have none, and it is a help only.
            return set()
        if path is None:
            return set()
        before, self.state.hashes = self.state.hashes, digests(path)
        path.unlink(missing_ok=True)
        return {uuid for uuid, digest in self.state.hashes.items() if before.get(uuid, digest) != digest}

    def _listed(self, path: Path) -> dict[str, Head]:
        """The events of the manifest that the rules let through."""
        where = self.folder.place(_MANIFEST)
        document = misp.load(path, self.settings, Context(feed=where))
        path.unlink(missing_ok=True)
        heads, strange = heads_of(document, where)
        if strange:
            sentence = f"{where}: {len(strange)} entries have no UUID, such as {strange[0][:40]!r}"
            self.poll.warnings.append(sentence)
        return {head.uuid: head for head in heads if wanted(self.settings, head, self.context.as_of)}

    def _event(self, rows: Rows, listed: Head, path: Path) -> Iterator[pl.DataFrame]:
        where = self.folder.place(f"{listed.uuid}.json")
        try:
            event = _only_event(misp.load(path, self.settings, Context(feed=where)), listed.uuid, where)
        except FormatError as error:
            self._failed(listed.uuid, error)
            return
        finally:
            path.unlink(missing_ok=True)
        self.read += 1
        self.poll.superseded.append(listed.uuid)
        self.state.events[listed.uuid] = listed.timestamp
        head = Head.of(event, listed.uuid).joined(listed)
        # The manifest's timestamp decided on age.
        rules = self.settings.model_copy(update={"max_age": None})
        unpublished = self.settings.published and head.published is False
        if not unpublished and wanted(rules, head, self.context.as_of):
            yield from rows.event(event)

    def _failed(self, uuid: str, error: TiplineError) -> None:
        self.failures.append(error)
        self.state.failed.append(uuid)
        self.poll.kept.append(uuid)
        self._warn(f"{error}; what this event said before stays")

    def _finish(self) -> None:
        if self.folder.untried:
            self.state.failed.extend(self.folder.untried)
            self.poll.kept.extend(self.folder.untried)
            self._warn(f"{self.folder.place('')}: {len(self.folder.untried)} more events were not tried")
        down = [error for error in self.failures if isinstance(error, FetchError) and error.retryable]
        if down and not self.read and len(down) == len(self.failures):
            raise down[0]
        self.poll.bytes = self.folder.bytes
        self.state.write(self.poll.cursor)

    def _warn(self, sentence: str) -> None:
        """Say something about the feed; in the log too, since the engine has read the warnings by now."""
        self.poll.warnings.append(sentence)
        _log.warning("feed", source=self.context.feed, message=sentence)


def _only_event(document: Any, uuid: str, where: str) -> dict[str, Any]:
    """The event of a file, with its UUID.

    Raises:
        FormatError: there is none, there are several, or it is another one than its name says.
    """
    events = list(misp.events_in(document))
    if len(events) != 1:
        raise FormatError(f"the file holds {len(events)} events", where=where, fix="tell the publisher")
    found = text(events[0].get("uuid")).lower()
    if found and found != uuid:
        raise FormatError(f"the file holds the event {found[:40]}", where=where, fix="tell the publisher")
    return {**events[0], "uuid": uuid}
