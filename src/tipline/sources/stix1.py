"""STIX 1 in files and behind addresses."""

from __future__ import annotations

from typing import ClassVar

from tipline.formats.base import Context
from tipline.formats.stix1 import Reading, Stix1Settings
from tipline.kinds import NodeSettings
from tipline.sources.feed import FeedSettings, LinkedFeed


class Stix1FeedSettings(FeedSettings, Stix1Settings):
    """Settings of `stix1`."""


class Stix1(LinkedFeed):
    """STIX 1.0 to 1.2: packages in XML, their indicators and observables with plain values."""

    kind: ClassVar[str] = "stix1"
    Settings: ClassVar[type[NodeSettings]] = Stix1FeedSettings
    settings: Stix1FeedSettings
    example: ClassVar[str] = """\
kind: stix1
url: https://feeds.example.org/stix/watchlist.xml
every: 1h
"""

    def reading(self, context: Context) -> Reading:
        """Of all files together."""
        return Reading(self.settings, context)
