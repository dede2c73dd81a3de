"""Indicators that other programs push over HTTPS."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import BeforeValidator, Field, SecretStr, field_validator

from tipline.durations import Duration
from tipline.errors import ConfigError, FormatError
from tipline.formats.base import ATTRIBUTES
from tipline.formats.unpack import compression, unpacked
from tipline.kinds import NodeSettings
from tipline.sources.ageing import parse_expire
from tipline.sources.base import Poll, PollContext, Source, SourceSettings
from tipline.sources.bodies import Body, feed_for, feed_kinds, read_body, unreadable
from tipline.sources.feed import Feed
from tipline.sources.submissions import Submission, waiting

_KEY_LENGTH = 16
_SENDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,59}")
_VALUES = ("value", "indicator", "ioc")
_HEAD = 1 << 16


class IngestSettings(SourceSettings):
    """Settings of `ingest`: what is pushed stays until it is taken back, or until `expire` says so."""

    mode: Literal["append"] = Field(default="append", description="Always append.")
    expire: Annotated[list[str], BeforeValidator(parse_expire)] = Field(
        description="When indicators leave: never, added + 90d, last_seen + 7d, or a list (earliest wins)."
    )
    every: Duration = Field(
        default=timedelta(hours=1), description="How often it is looked for submissions that a restart left over."
    )
    keys: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Who may push: a name for each sender, and its key of at least 16 characters.",
    )
    formats: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="How bodies are read, by kind of feed: {csv: {columns: {value: 2}}}; else by names of fields.",
    )
    taxii: str = Field(
        default="",
        max_length=200,
        description="Title of a TAXII collection that takes objects for this source; unset: there is none.",
    )
    max_bytes: int = Field(default=100 << 20, ge=1, description="Largest body as sent, in bytes.")
    max_waiting: int = Field(
        default=1 << 30,
        ge=1,
        description="Bodies that may wait to be read, in bytes; beyond, senders are told to wait.",
    )
    max_time: float = Field(
        default=300, gt=0, description="Longest time that a sender may take for a body, in seconds."
    )

    @field_validator("keys")
    @classmethod
    def _senders_and_keys(cls, keys: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in keys:
            if not _SENDER.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a sender; use letters, digits, - _ . and @")
        return keys


class Ingest(Source):
    """Takes what programs push to /api/v1/ingest/<name>: lines, CSV, JSON, STIX 2, MISP events; also over TAXII."""

    kind: ClassVar[str] = "ingest"
    Settings: ClassVar[type[NodeSettings]] = IngestSettings
    settings: IngestSettings
    example: ClassVar[str] = """\
kind: ingest
expire: added + 30d
keys: {honeypot: "${env:HONEYPOT_KEY}"}
"""

    def __init__(self, name: str, settings: IngestSettings) -> None:
        super().__init__(name, settings)
        for sender, key in settings.keys.items():
            if len(key.get_secret_value()) < _KEY_LENGTH:
                raise ConfigError(f"the key of {sender} is shorter than {_KEY_LENGTH} characters")
        for kind, options in settings.formats.items():
            feed_for(kind, options, settings, f"formats.{kind}")

    def reads(self, kind: str) -> bool:
        """Whether there is such a kind of feed."""
        return kind in feed_kinds()

    def poll(self, context: PollContext) -> Poll:
        """Read the oldest submission; each is a poll, so that each has its account."""
        done = context.cursor.get("done")
        queue = waiting(context.inbox)
        if not queue:
            return Poll(iter(()), context.cursor, unchanged=True)
        oldest = next((each for each in queue if each.id == done), queue[0])
        path = context.inbox / oldest.file
        if oldest.id == done:
            # It was committed, and the process died before its file was gone, perhaps before its run was noted.
            gone = partial(path.unlink, missing_ok=True)
            note = oldest.recovered_note
            return Poll(iter(()), context.cursor, settled=gone, more=len(queue) > 1, note=note)
        try:
            body = read_body(self.feed(oldest.kind, path), path, context, self.name)
            frames = _of_sender(body, oldest)
        except (FormatError, ConfigError) as exc:
            body, frames = Body(), iter([unreadable(oldest.id, exc)])
        return Poll(
            frames,
            cursor={"done": oldest.id},
            whole_records=body.whole_records and not oldest.withdraw,
            withdraws=oldest.prefix if oldest.withdraw else None,
            settled=partial(path.unlink, missing_ok=True),
            more=len(queue) > 1,
            note=oldest.note,
            bytes=path.stat().st_size,
            warnings=body.warnings,
        )

    def feed(self, kind: str, path: Path) -> Feed:
        """What reads a body: as the settings say, else by the usual names of fields."""
        options = self.settings.formats.get(kind)
        if options is None:
            options = {"csv": _usual_csv, "json": _usual_json}.get(kind, lambda _: {})(path)
        return feed_for(kind, options, self.settings, f"formats.{kind}")


def _of_sender(body: Body, submission: Submission) -> Iterator[pl.DataFrame]:
    """The frames with records of the sender: nobody takes back what another has pushed."""
    for frame in body.frames():
        own = pl.col("record").cast(pl.String).fill_null("") if "record" in frame.columns else pl.lit("")
        yield frame.with_columns(pl.concat_str(pl.lit(submission.prefix), own).alias("record"))


def _usual_csv(path: Path) -> dict[str, Any]:
    """Columns by the names in the first line; the first column is the value's if no name says so."""
    names = [name.strip().lower() for name in next(csv.reader([_head(path).split("\n", 1)[0]]), [])]
    value = next((name for name in _VALUES if name in names), 1)
    return {"columns": {"value": value, **{name: name for name in ATTRIBUTES if name in names}}, "short_rows": "keep"}


def _usual_json(path: Path) -> dict[str, Any]:
    """Fields by their names; texts in an array are values."""
    if re.match(r'\s*\[\s*"', _head(path)):
        return {}
    names = next(([name] for name in _VALUES if f'"{name}"' in _head(path)), ["value"])
    return {"fields": {"value": names[0], **{name: name for name in ATTRIBUTES}}}


def _head(path: Path) -> str:
    """The beginning of a body; of a packed one, what is in it."""
    kind = compression(path)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if kind is not None:
        head = next(iter(unpacked(path, kind, None, "")), b"")[:_HEAD]
    return head.decode("utf-8-sig", "replace")
