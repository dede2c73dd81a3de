"""STIX 1 in files and behind addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import stix1 as stix1_format
from tipline.formats.base import Context
from tipline.formats.stix1 import Stix1Settings
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class Stix1FeedSettings(FeedSettings, Stix1Settings):
    """Settings of `stix1`."""


class Stix1(Feed):
    """STIX 1.0 to 1.2: packages in XML, their indicators and observables with plain values."""

    kind: ClassVar[str] = "stix1"
    Settings: ClassVar[type[NodeSettings]] = Stix1FeedSettings
    settings: Stix1FeedSettings
    whole_records: ClassVar[bool] = True
    example: ClassVar[str] = """\
kind: stix1
url: https://feeds.example.org/stix/watchlist.xml
every: 1h
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one file."""
        return stix1_format.read(path, self.settings, context)

    def frames(self, paths: Iterator[Path], context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of all files together: what stands in one may be about objects of another."""
        reading = stix1_format.Reading(self.settings, context)
        for path in paths:
            reading.add(path)
        yield from reading.frames()
