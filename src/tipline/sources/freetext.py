"""Reports and other text for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import polars as pl

from tipline.formats import freetext
from tipline.formats.base import Context
from tipline.kinds import NodeSettings
from tipline.sources.feed import Feed, FeedSettings


class FreetextFeedSettings(FeedSettings, freetext.FreetextSettings):
    """Settings of `freetext`."""


class Freetext(Feed):
    """Indicators in text for people: reports as text, Markdown, HTML or PDF, defanged in any way."""

    kind: ClassVar[str] = "freetext"
    Settings: ClassVar[type[NodeSettings]] = FreetextFeedSettings
    settings: FreetextFeedSettings
    opaque: ClassVar[tuple[bytes, ...]] = (freetext.PDF,)
    example: ClassVar[str] = """\
kind: freetext
url: reports/*.pdf
confidence: 60
types: [ipv4, ipv6, domain, url, md5, sha1, sha256]
"""

    def read(self, path: Path, context: Context) -> Iterator[pl.DataFrame]:
        """Raw frames of one document."""
        return freetext.read(path, self.settings, context, own=self.settings.url)
