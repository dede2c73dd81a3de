"""Merges the claims of its inputs, one row per indicator, and takes out what its allow-lists hold."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tipline.kinds import Names, NodeSettings
from tipline.processors.allowsql import allow
from tipline.processors.base import Processor, ProcessorSettings, Query, Reach, union
from tipline.processors.merge import Confidence, merged


class AggregateSettings(ProcessorSettings):
    """Settings of `aggregate`."""

    allow: Names = Field(default_factory=list, description="Allow-list sources: what they hold is taken out.")
    confidence: Confidence = Field(
        default="max",
        description="How the confidence of several claims becomes one; weighted: the mean by the sources' reliability.",
    )
    urls: Literal["host-only", "all"] = Field(
        default="host-only", description="Whether an allowed domain also takes out URLs that have a path."
    )


class Aggregate(Processor):
    """Merges claims on the same indicator and applies allow-lists."""

    kind: ClassVar[str] = "aggregate"
    Settings: ClassVar[type[NodeSettings]] = AggregateSettings
    reach: ClassVar[Reach] = "key"
    unique: ClassVar[bool | None] = True
    merges: ClassVar[bool] = True
    settings: AggregateSettings
    example: ClassVar[str] = """\
kind: aggregate
inputs: [cert, community]
allow: [wl-ipv4]
"""

    def query(self, query: Query) -> str:
        """One row per key, then the allow-lists (which may cut ranges into pieces, so pieces are merged again)."""
        rows = merged(query.union(), self.settings.confidence, query.reliability)
        once = f"SELECT *, NULL::VARCHAR AS dropped FROM ({rows})"
        if not query.allow:
            return once
        return allow(query.materialise(once), union(query.allow), self.settings.urls, networks=query.networks)
