"""STIX 2 in files and behind addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import stix2 as stix2_format
from tipline.formats.base import Context
from tipline.formats.stix2 import Stix2Settings
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class Stix2FeedSettings(FeedSettings, Stix2Settings):
    """Settings of `stix2`."""


class Stix2(Feed):
    """STIX 2.0 and 2.1: bundles and lists of objects, indicators with plain values in their patterns."""

    kind: ClassVar[str] = "stix2"
    Settings: ClassVar[type[NodeSettings]] = Stix2FeedSettings
    settings: Stix2FeedSettings
    whole_records: ClassVar[bool] = True
    example: ClassVar[str] = """\
kind: stix2
url: https://feeds.example.org/stix/today.json
every: 1h
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one file."""
        return stix2_format.read(path, self.settings, context)

    def frames(self, paths: Iterator[Path], context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of all files together: what stands in one may be about objects of another."""
        reading = stix2_format.Reading(self.settings, context)
        for path in paths:
            reading.add(path)
        yield from reading.frames()
