"""MISP events in files, or behind an address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import misp
from tipline.formats.base import Context
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class MispFileSettings(FeedSettings, misp.MispSettings):
    """Settings of `misp-file`."""


class MispFile(Feed):
    """MISP event JSON: exported events in files or a directory, or the answer of one search."""

    kind: ClassVar[str] = "misp-file"
    Settings: ClassVar[type[NodeSettings]] = MispFileSettings
    settings: MispFileSettings
    whole_records: ClassVar[bool] = True  # an attribute that comes again as deleted goes
    example: ClassVar[str] = """\
kind: misp-file
url: events/*.json
every: 1h
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one file."""
        return misp.read(path, self.settings, context, confidence=self.settings.confidence_map)
