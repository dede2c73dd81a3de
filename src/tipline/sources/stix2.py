"""STIX 2 in files and behind addresses."""

from __future__ import annotations

from typing import ClassVar

from tipline.formats.base import Context
from tipline.formats.stix2 import Reading, Stix2Settings
from tipline.kinds import NodeSettings
from tipline.sources.feed import FeedSettings, LinkedFeed


class Stix2FeedSettings(FeedSettings, Stix2Settings):
    """Settings of `stix2`."""


class Stix2(LinkedFeed):
    """STIX 2.0 and 2.1: bundles and lists of objects, indicators with plain values in their patterns."""

    kind: ClassVar[str] = "stix2"
    Settings: ClassVar[type[NodeSettings]] = Stix2FeedSettings
    settings: Stix2FeedSettings
    example: ClassVar[str] = """\
kind: stix2
url: https://feeds.example.org/stix/today.json
every: 1h
"""

    def reading(self, context: Context) -> Reading:
        """Of all files together."""
        return Reading(self.settings, context)
