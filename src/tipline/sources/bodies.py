"""Bodies that come from elsewhere than an address, read by any kind of feed, whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from tipline.errors import ConfigError, FormatError
from tipline.formats.base import Context, nearest
from tipline.formats.decode import Limits, decode
from tipline.kinds import kinds
from tipline.sources.base import PollContext, SourceSettings
from tipline.sources.feed import Feed, FeedSettings
from tipline.sources.fetch_settings import FetchSettings

UNREADABLE = "unreadable"
_OF_THE_SOURCE = {*SourceSettings.model_fields, *FetchSettings.model_fields}


@dataclass
class Body:
    """What a body holds, in files until it is taken in.

    Attributes:
        files: a frame each, as Arrow.
        whole_records: whether all rows of a record come together.
        warnings: sentences for the log.
    """

    files: list[Path] = field(default_factory=list)
    whole_records: bool = False
    warnings: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The frames, one at a time."""
        for file in self.files:
            yield pl.read_ipc(file)
            file.unlink()


@lru_cache(maxsize=1)
def feed_kinds() -> Mapping[str, type[Feed]]:
    """Every kind of feed that reads bodies, by name; looked for once, since each body that is pushed asks."""
    return {name: kind for name, kind in kinds("source").items() if issubclass(kind, Feed)}


def feed_for(kind: str, options: Mapping[str, Any], outer: SourceSettings, where: str) -> Feed:
    """A feed that reads bodies for another source.

    Args:
        kind: csv, json, lines, stix2, misp-file or another kind of feed.
        options: how it reads; settings of sources and of fetching have no place here.
        outer: settings of the source that the bodies are for.
        where: what the options stand under, for messages.

    Raises:
        ConfigError: there is no such kind, or no such setting.
    """
    known = feed_kinds()
    if kind not in known:
        there_are = nearest(kind, known) or f"there are: {', '.join(known)}"
        raise ConfigError(f"{where}: {kind!r} reads no bodies", fix=there_are)
    settings = known[kind].Settings
    allowed = sorted(set(settings.model_fields) - _OF_THE_SOURCE)
    for name in options:
        if name not in allowed:
            raise ConfigError(f"{where}: {kind} has no setting {name!r} here", fix=f"it has: {', '.join(allowed)}")
    try:
        made = settings.model_validate({"kind": kind, "url": "body", "confidence_map": outer.confidence_map, **options})
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{where}.{place}: {what}") from exc
    if not isinstance(made, FeedSettings):
        raise ConfigError(f"{where}: {kind!r} reads no bodies")
    return known[kind](where, made)


def read_body(feed: Feed, path: Path, context: PollContext, name: str) -> Body:
    """Read a body to its end before anything of it is taken in.

    Args:
        feed: reads it.
        path: of the body, as it was sent (perhaps compressed).
        context: of the poll; its spool gets the frames.
        name: for messages.

    Raises:
        FormatError: it cannot be read; nothing of it is kept.
        FetchError: the disk is full.
    """
    settings = feed.settings
    body = Body(whole_records=feed.whole_records)
    reading = Context(feed=name, warnings=body.warnings)
    limits = Limits(settings.max_unpacked, settings.max_ratio)
    decoded = decode(
        path, context.spool, limits, settings.charset, member=settings.member, opaque=feed.opaque, feed=name
    )
    body.warnings.extend(decoded.warnings)
    try:
        for frame in feed.frames(iter([decoded.path]), reading):
            file = context.spool / f"{uuid.uuid4().hex}.arrow"
            frame.write_ipc(file, compression="lz4")
            body.files.append(file)
    finally:
        if decoded.path != path:
            decoded.path.unlink(missing_ok=True)
    return body


def unreadable(name: str, why: FormatError | ConfigError) -> pl.DataFrame:
    """One row that stands for a body that could not be read, so that its loss is in the account."""
    return pl.DataFrame({"value": [name], "drop": [f"{UNREADABLE}: {why.what}"]})
