"""Collections of TAXII 1.1 servers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from tipline.durations import Duration
from tipline.errors import FetchError, FormatError
from tipline.formats.base import Context
from tipline.formats.stix1 import Reading, Stix1Settings
from tipline.kinds import NodeSettings
from tipline.sources.base import Poll, PollContext, Source, SourceSettings
from tipline.sources.fetch import FetchSettings
from tipline.sources.taxii1_client import Answer, Client1, Feed1
from tipline.sources.taxii_client import Client


class Taxii1Settings(SourceSettings, FetchSettings, Stix1Settings):
    """Settings of `taxii1`."""

    mode: Literal["snapshot", "append"] = Field(
        default="append",
        description="append: a poll asks for what was added since; snapshot: for the whole collection.",
    )
    collection: str | None = Field(default=None, description="Name of the collection; unset: the only one there is.")
    poll_url: str | None = Field(
        default=None, description="Address of the poll service, if discovery cannot be asked (needs `collection`)."
    )
    subscription_id: str | None = Field(default=None, description="Id of a subscription, if the server wants one.")
    since: Duration | None = Field(
        default=None, description="How far back the first poll asks (append); unset: everything."
    )
    window: Duration | None = Field(
        default=None,
        description="Longest span of time to ask for at once, for servers that fail on more; needs `since`.",
    )
    max_parts: int = Field(default=10_000, ge=1, description="Parts of results that one poll reads at most.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.url) != 1 or not self.url[0].lower().startswith(("http://", "https://")):
            raise ValueError("url: one http(s) address, of the server's discovery service")
        if self.poll_url and not self.collection:
            raise ValueError("poll_url needs collection")
        if self.window and not self.since:
            raise ValueError("window needs since")
        return self


class Taxii1(Source):
    """A TAXII 1.1 collection with STIX 1 content: what was added since the last poll, part by part."""

    kind: ClassVar[str] = "taxii1"
    Settings: ClassVar[type[NodeSettings]] = Taxii1Settings
    settings: Taxii1Settings
    example: ClassVar[str] = """\
kind: taxii1
url: https://taxii.example.org/taxii-discovery-service
collection: indicators
basic: {username: reader, password: "${env:TAXII_PASSWORD}"}
since: 30d
expire: added + 90d
"""

    def poll(self, context: PollContext) -> Poll:
        """Read what was added; if an answer fails, what came before it is kept, and the next poll goes on."""
        client = Client(self.settings, context.spool, context.feed)
        speaks = Client1(client)
        feed = speaks.find(self.settings.collection, self.settings.poll_url)
        reading = Reading(self.settings, Context(feed=context.feed), required=False)
        run = _Run(self.settings, speaks, feed, reading)
        append = self.settings.mode == "append" and feed.ordered
        end = run.read(context.cursor.get("end") if append else None, context.as_of)
        return Poll(
            frames=_frames(reading),
            cursor={"end": end} if append and end else {},
            unchanged=append and not reading.items,
            bytes=client.bytes,
            warnings=run.warnings,
            whole_records=True,
        )


def _frames(reading: Reading) -> Iterator[pl.DataFrame]:
    yield from reading.frames()


class _Run:
    """One poll's reading of a collection."""

    def __init__(self, settings: Taxii1Settings, client: Client1, feed: Feed1, reading: Reading) -> None:
        self.warnings: list[str] = []
        self._settings = settings
        self._client = client
        self._feed = feed
        self._reading = reading
        self._parts = 0

    def read(self, begin: str | None, now: datetime) -> str | None:
        """Read span after span; returns up to when all was read."""
        done = begin
        if self._settings.mode == "append" and begin is None and self._settings.since:
            begin = _text(now - self._settings.since)
        for start, end in self._spans(begin, now):
            try:
                done = self._span(start, end) or end or done
            except (FetchError, FormatError) as error:
                if not self._parts or self._settings.mode == "snapshot":
                    raise
                self.warnings.append(f"part {self._parts + 1} failed; the next poll goes on: {error}")
                return done
        return done

    def _spans(self, begin: str | None, now: datetime) -> Iterator[tuple[str | None, str | None]]:
        """Begins and ends to ask for; the end is left to the server unless spans are limited."""
        window = self._settings.window
        if not self._feed.ordered or self._settings.mode == "snapshot":
            yield None, None
            return
        at = _moment(begin)
        while window and at and now - at > window:
            yield _text(at), _text(at + window)
            at += window
        yield (_text(at) if at else begin), _text(now)

    def _span(self, begin: str | None, end: str | None) -> str | None:
        """Read all parts of one result; returns its end as the server has it."""
        answer = self._client.poll(self._feed, begin, end, self._settings.subscription_id)
        self._take(answer)
        told = answer.members.get("Inclusive_End_Timestamp")
        while answer.members.get("more", "").lower() in ("true", "1"):
            if self._parts >= self._settings.max_parts:
                raise FetchError(
                    f"the result has more than {self._settings.max_parts} parts",
                    where=self._feed.name,
                    fix="raise max_parts, or set window",
                )
            answer = self._client.next_part(self._feed, answer)
            self._take(answer)
        return told

    def _take(self, answer: Answer) -> None:
        self._reading.add(answer.part.path)
        self._parts += 1


def _moment(text: str | None) -> datetime | None:
    """A moment as naive UTC; None of what is none."""
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds") + "Z"
