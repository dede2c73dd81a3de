"""Feeds of one indicator a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import lines as lines_format
from tipline.formats.base import Context
from tipline.formats.lines import LinesSettings
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class LinesFeedSettings(FeedSettings, LinesSettings):
    """Settings of `lines`."""


class Lines(Feed):
    """A list: the first word of each line, a dialect such as hosts or RPZ, or what a regular expression finds."""

    kind: ClassVar[str] = "lines"
    Settings: ClassVar[type[NodeSettings]] = LinesFeedSettings
    settings: LinesFeedSettings
    example: ClassVar[str] = """\
kind: lines
url: https://lists.example.org/block.txt
confidence: 80
tlp: green
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one file."""
        return lines_format.read(path, self.settings, context)
