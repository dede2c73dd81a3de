"""CSV feeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import csv as csv_format
from tipline.formats.base import Context
from tipline.formats.csv_settings import CsvSettings
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class CsvFeedSettings(FeedSettings, CsvSettings):
    """Settings of `csv`."""


class Csv(Feed):
    """A CSV feed: columns by number or name, any delimiter, quoted and multi-line cells."""

    kind: ClassVar[str] = "csv"
    Settings: ClassVar[type[NodeSettings]] = CsvFeedSettings
    settings: CsvFeedSettings
    example: ClassVar[str] = """\
kind: csv
url: https://feeds.example.org/iocs.csv
header: false
columns: {value: 2, tlp: 4, first_seen: 1}
every: 1h
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one file."""
        return csv_format.read(path, self.settings, context)
