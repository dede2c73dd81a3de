"""JSON feeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import json as json_format
from tipline.formats.base import Context
from tipline.formats.json_settings import JsonSettings
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class JsonFeedSettings(FeedSettings, JsonSettings):
    """Settings of `json`."""


class Json(Feed):
    """A JSON feed: an array, lines of JSON, or a document with a JMESPath to its rows."""

    kind: ClassVar[str] = "json"
    Settings: ClassVar[type[NodeSettings]] = JsonFeedSettings
    settings: JsonFeedSettings
    example: ClassVar[str] = """\
kind: json
url: https://api.example.org/v1/indicators
rows: data.items
fields: {value: ioc, type: ioc_type, confidence: score}
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one file."""
        return json_format.read(path, self.settings, context)
