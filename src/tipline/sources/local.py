"""Indicators that people add by hand or programs add through the API."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from tipline.durations import Duration
from tipline.kinds import NodeSettings
from tipline.sources.ageing import parse_expire
from tipline.sources.base import Poll, PollContext, Source, SourceSettings


class LocalSettings(SourceSettings):
    """Settings of `local`: what is added stays until it is removed, or until its time to live is over."""

    mode: Literal["snapshot", "append"] = Field(default="append", description="Always append.")
    confidence: int | None = Field(default=100, ge=0, le=100, description="For indicators added without one.")
    ttl: Duration | None = Field(
        default=None, description="How long an indicator stays that is added without a time to live; for good if unset."
    )
    expire: Annotated[list[str], BeforeValidator(parse_expire)] = Field(
        default_factory=list, description="never (each entry may have its own time to live)."
    )


class Local(Source):
    """Holds what people add: one entry per indicator, team and user, so that removing mine leaves yours."""

    kind: ClassVar[str] = "local"
    Settings: ClassVar[type[NodeSettings]] = LocalSettings
    settings: LocalSettings
    example: ClassVar[str] = """\
kind: local
tlp: amber
tags: [by-hand]
"""

    def poll(self, context: PollContext) -> Poll:
        """Nothing to fetch: entries come through `tipline add` and the API."""
        return Poll(iter(()), {}, unchanged=True)
