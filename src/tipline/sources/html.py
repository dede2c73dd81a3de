"""Tables of web pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import html as html_format
from tipline.formats.base import Context
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class HtmlFeedSettings(FeedSettings, html_format.HtmlSettings):
    """Settings of `html`."""


class Html(Feed):
    """A table of a web page, chosen by number, CSS selector or header; columns as in csv."""

    kind: ClassVar[str] = "html"
    Settings: ClassVar[type[NodeSettings]] = HtmlFeedSettings
    settings: HtmlFeedSettings
    example: ClassVar[str] = """\
kind: html
url: https://www.example.org/blocked.html
table: table#addresses
columns: {value: IP address, first_seen: Since}
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one page."""
        return html_format.read(path, self.settings, context)
