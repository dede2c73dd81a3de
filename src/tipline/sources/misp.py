"""MISP servers, over their REST API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, ClassVar

import polars as pl
from pydantic import SecretStr

from tipline.errors import FormatError
from tipline.formats import misp
from tipline.formats.misp_events import Rows, record, text
from tipline.kinds import NodeSettings
from tipline.sources.base import EVERY_GROUP, Poll, PollContext, Source
from tipline.sources.fetch_settings import ApiKey
from tipline.sources.misp_rules import Head, number
from tipline.sources.misp_search import Server
from tipline.sources.misp_settings import MispServerSettings

# Attributes asked for at once, as their events' heads count them: bounds memory.
_CHUNK_ATTRIBUTES = 10_000
_CHUNK_EVENTS = 100


@dataclass
class _State:
    """The cursor: events as they were last read, and how far the server's changes are known.

    Attributes:
        changed, published: the latest moments of what the filters choose.
        others: the latest moment of a change of any event at all.
    """

    events: dict[str, int] = field(default_factory=dict)
    changed: int = 0
    published: int = 0
    full: float = 0
    others: int = 0

    @classmethod
    def of(cls, cursor: Mapping[str, Any]) -> _State:
        return cls(**{**cursor, "events": dict(cursor["events"])}) if cursor else cls()

    def note(self, head: Head) -> None:
        """The server's clock: the latest moments seen."""
        self.changed = max(self.changed, head.timestamp)
        self.published = max(self.published, head.published_at)


class Misp(Source):
    """A MISP server: events or attributes by filter; deleted and unpublished ones are withdrawn."""

    kind: ClassVar[str] = "misp"
    Settings: ClassVar[type[NodeSettings]] = MispServerSettings
    settings: MispServerSettings
    example: ClassVar[str] = """\
kind: misp
url: https://misp.example.org
key: ${env:MISP_KEY}
event_tags: {any: ['tlp:clear', 'tlp:green']}
every: 15m
"""

    def poll(self, context: PollContext) -> Poll:
        """List what changed since the last poll, or everything; frames then bring it."""
        state = _State.of(context.cursor)
        signed = self.settings.model_copy(
            update={
                "api_key": ApiKey(header=self.settings.key_header, value=self.settings.key),
                "headers": {"Accept": SecretStr("application/json"), **self.settings.headers},
            }
        )
        poll = Poll(iter(()), cursor={}, whole_records=True)
        server = Server(signed, self.settings, context.spool, context.feed, warnings=poll.warnings)
        now = context.as_of.replace(tzinfo=UTC).timestamp()
        full = not 0 <= now - state.full < self.settings.full_every.total_seconds()
        if full:
            state.full = now
        poll.large = full and not state.events  # a first poll, or every attribute there is
        reading = _Reading(self.settings, server, state, poll, now, full=full)
        poll.frames = reading.frames()
        return poll


@dataclass
class _Reading:
    """One poll's work."""

    settings: MispServerSettings
    server: Server
    state: _State
    poll: Poll
    now: float
    full: bool
    seen: int = 0

    def frames(self) -> Iterator[pl.DataFrame]:
        """Raw frames; the cursor is complete after the last."""
        rows = Rows(self.settings.confidence_map, self.settings.local_tags)
        if self.settings.scope == "events":
            yield from self._changed_events(rows)
        elif self.full:
            yield from self._all_attributes(rows)
        else:
            yield from self._changed_attributes(rows)
        if len(rows):
            yield rows.take()
        self.poll.bytes = self.server.bytes
        self.poll.cursor.update(vars(self.state))

    def _changed_events(self, rows: Rows) -> Iterator[pl.DataFrame]:
        changed = set() if self.full else self._changed_at_all()
        listed = {head.uuid: head for head in (self._everything() if self.full else self._recent())}
        if self.full:
            self._withdraw_gone(listed)
        for uuid in changed & self.state.events.keys() - listed.keys():
            self._over(uuid)  # it was changed so that the filters leave it out
        wanted: list[Head] = []
        for head in listed.values():
            self.state.note(head)
            if self.settings.published and head.published is False:
                self._over(head.uuid)
            elif self.state.events.get(head.uuid) != head.timestamp or self._reads_all_again:
                wanted.append(head)
        for chunk in _chunks(wanted):
            yield from self._events(rows, chunk)

    def _everything(self) -> Iterator[Head]:
        return self.server.heads(self.settings.filters(), self.settings.page_size)

    def _recent(self) -> Iterator[Head]:
        """Events changed lately, published or not, and those published lately (their timestamp stays)."""
        size, filters = self.settings.page_size, self.settings.filters()
        either = {name: value for name, value in filters.items() if name != "published"}
        yield from self.server.heads({**either, "timestamp": self._changed_since()}, size)
        if self.settings.published:
            yield from self.server.heads({**filters, "publish_timestamp": self._since(self.state.published)}, size)

    @property
    def _reads_all_again(self) -> bool:
        """Warning lists change without the events that they are about."""
        return self.full and self.settings.enforce_warninglists

    def _changed_at_all(self) -> set[str]:
        """Events changed lately, whatever they are now: one may have lost the tag by which it was chosen.

        To be asked before what the filters choose, so that an event that is changed in between is not taken for lost.
        """
        if not self.settings.narrows:
            return set()
        since = self._since(max(self.state.others, self.state.changed))
        found = list(self.server.heads({"timestamp": since}, self.settings.page_size))
        self.state.others = max([self.state.others, *(head.timestamp for head in found)])
        return {head.uuid for head in found}

    def _changed_since(self) -> int:
        """Where to look for changes; never for what is too old anyway."""
        age = self.settings.max_age
        oldest = 0 if age is None else int(self.now - age.total_seconds())
        return max(oldest, self._since(self.state.changed))

    def _since(self, moment: int) -> int:
        return max(0, moment - int(self.settings.overlap.total_seconds()))

    def _withdraw_gone(self, listed: Mapping[str, Head]) -> None:
        """End the events that are not listed, unless the server still has them: pages shift as events go."""
        missing = [uuid for uuid in self.state.events if uuid not in listed]
        if missing and not listed:
            raise self._nothing("event")
        if not self.state.events:
            # Without a cursor (the first poll, or other settings) whatever was said before is over.
            self.poll.superseded.append(EVERY_GROUP)
        for start in range(0, len(missing), _CHUNK_EVENTS):
            some = missing[start : start + _CHUNK_EVENTS]
            filters = {**self.settings.filters(), "uuid": some}
            there = {head.uuid for head in self.server.heads(filters, self.settings.page_size)}
            for uuid in some:
                if uuid not in there:
                    self._over(uuid)

    def _over(self, uuid: str) -> None:
        self.poll.superseded.append(uuid)
        self.state.events.pop(uuid, None)

    def _events(self, rows: Rows, heads: list[Head]) -> Iterator[pl.DataFrame]:
        filters = {**self.settings.filters(), "uuid": [head.uuid for head in heads]}
        answer = self.server.search("events", filters)
        found = {text(event.get("uuid")).lower(): event for event in misp.events_in(answer)}
        del answer
        if not found and len(heads) > 1:
            raise FormatError(
                f"the server lists {len(heads)} events and gives none of them",
                where=self.server.feed,
                fix="try page_size: 100; if that does not help, report it with MISP's version",
            )
        for head in heads:
            self._over(head.uuid)
            event = found.pop(head.uuid, None)
            if event is not None:
                self.state.events[head.uuid] = head.timestamp
                yield from rows.event(event)

    def _all_attributes(self, rows: Rows) -> Iterator[pl.DataFrame]:
        """Everything: what is not among it is withdrawn, unless there is suddenly nothing at all."""
        known = self.state.changed
        yield from self._attributes(rows, {})
        if not self.seen and known:
            raise self._nothing("attribute")
        self.poll.superseded.append(EVERY_GROUP)

    def _changed_attributes(self, rows: Rows) -> Iterator[pl.DataFrame]:
        """Attributes changed lately (deleted ones too), and those of events (un)published lately.

        An event or attribute that was changed so that the filters leave it out is found by asking without them.
        """
        since = self._changed_since()
        left = self._changed_at_all()
        others = self._attributes_at_all(since) if self.settings.narrows else set()
        if left:
            left -= {head.uuid for head in self.server.heads(self._chosen(since), self.settings.page_size)}
        if self.settings.published:
            for head in self.server.heads({"timestamp": since, "published": 0}, self.settings.page_size):
                self.state.note(head)
                left.add(head.uuid)
        for uuid in left:
            self._over(uuid)
        yield from self._attributes(rows, {"timestamp": since, "deleted": [0, 1]}, others)
        yield from self._attributes(rows, {"publish_timestamp": self._since(self.state.published)}, others)
        self.poll.superseded += others

    def _chosen(self, since: int) -> dict[str, Any]:
        """Filters for events changed since a moment."""
        return {**self.settings.filters(), "timestamp": since}

    def _attributes_at_all(self, since: int) -> set[str]:
        """Records of attributes changed lately, whatever they are now."""
        asked = {"timestamp": since, "deleted": [0, 1], "includeEventUuid": 1}
        pages = self.server.attributes(asked, self.settings.page_size)
        return {record(each) for page in pages for each in page}

    def _attributes(
        self, rows: Rows, further: Mapping[str, Any], others: set[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Attributes that the filters choose; their records are taken out of `others`."""
        asked = {"includeContext": 1, "includeEventTags": 1, "includeEventUuid": 1}
        filters = {**asked, **self.settings.filters(), **further}
        for page in self.server.attributes(filters, self.settings.page_size):
            for attribute in page:
                self._note_attribute(attribute)
                if others:
                    others.discard(record(attribute))
            yield from rows.attributes(page)

    def _nothing(self, what: str) -> FormatError:
        return FormatError(
            f"the server lists no {what} at all, and there were some",
            where=self.server.feed,
            fix="may the key's user still see them, and are the filters right? What they said stays",
        )

    def _note_attribute(self, attribute: Mapping[str, Any]) -> None:
        event = attribute.get("Event")
        head: Mapping[str, Any] = event if isinstance(event, Mapping) else {}
        self.seen += 1
        self.state.changed = max(self.state.changed, number(attribute.get("timestamp")))
        self.state.published = max(self.state.published, number(head.get("publish_timestamp")))


def _chunks(heads: list[Head]) -> Iterator[list[Head]]:
    """Events to ask for together: few, or with few attributes."""
    chunk: list[Head] = []
    size = 0
    for head in heads:
        if chunk and (len(chunk) >= _CHUNK_EVENTS or size + head.attributes > _CHUNK_ATTRIBUTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(head)
        size += head.attributes
    if chunk:
        yield chunk
