"""MISP feeds: a directory that MISP servers, PyMISP and tipline itself read, also served at /misp/NAME/."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from pathlib import Path, PurePath
from typing import ClassVar

from pydantic import Field, field_validator

from tipline.durations import Duration
from tipline.kinds import Names, NodeSettings
from tipline.microsoft.stix import NAMESPACE
from tipline.outputs.access import AccessSettings
from tipline.outputs.base import Carries, Output, unsupported
from tipline.outputs.misp_words import WORDS
from tipline.processors.base import Reach
from tipline.processors.iptext import to_cidrs
from tipline.store.schema import VIEW_COLUMNS


class MispFeedSettings(AccessSettings):
    """Settings of `misp-feed`."""

    path: str = Field(
        default="",
        description="The directory: a path inside the data directory, or an absolute one; misp/NAME unless set.",
    )
    title: str = Field(default="", description="The events' info; the output's name unless set.")
    organisation: str = Field(default="tipline", min_length=1, description="Name of the organisation that publishes.")
    organisation_uuid: uuid.UUID | None = Field(
        default=None, description="Its UUID in MISP; one made from the instance's name unless set."
    )
    event_tags: Names = Field(default_factory=list, description="Tags of the events, such as tlp:clear.")
    threat_level: int = Field(default=4, ge=1, le=4, description="1 high, 2 medium, 3 low, 4 undefined.")
    to_ids: bool = Field(default=True, description="Whether attributes are marked for detection.")
    events: int = Field(
        default=1,
        ge=1,
        le=4096,
        description="Over so many events the indicators are spread; another number makes other events.",
    )
    keep_removed: Duration = Field(
        default=timedelta(days=30),
        description="How long one that left stays as deleted (at most store.retention); MISP removes nothing else.",
    )

    @field_validator("path")
    @classmethod
    def _inside(cls, text: str) -> str:
        if "\0" in text or ".." in PurePath(text).parts:
            raise ValueError("path must not contain ..; write the directory itself")
        return text


class MispFeedKind(Output):
    """Writes a MISP feed (manifest.json, events, hashes.csv), and serves it at /misp/NAME/."""

    kind: ClassVar[str] = "misp-feed"
    Settings: ClassVar[type[NodeSettings]] = MispFeedSettings
    settings: MispFeedSettings
    reach: ClassVar[Reach] = "interval"
    types: ClassVar[frozenset[str] | None] = frozenset(WORDS)
    paged: ClassVar[bool] = True
    carries: ClassVar[Carries] = Carries(
        types="those with a MISP attribute",
        confidence="in the comment",
        tlp="tag",
        expiry="no",
        removal="`deleted`, for `keep_removed`",
        limits="ranges become CIDRs",
    )
    example: ClassVar[str] = """\
kind: misp-feed
inputs: inbound
path: misp
title: Indicators of the CERT
event_tags: ["tlp:clear"]
"""

    def shown(self) -> list[str]:
        """What attributes show."""
        return ["confidence", "description", "tags", "tlp"]

    def shape(self, relation: str, as_of: str) -> str:
        """Ranges as CIDRs, and a reason for types that MISP has no attribute for."""
        why = unsupported(WORDS, "MISP has no attribute for")
        return f"SELECT {VIEW_COLUMNS}, {why} AS dropped FROM ({to_cidrs(relation)})"

    def folder(self, data: Path) -> Path:
        """The directory, given the data directory."""
        return data / (Path(self.settings.path).expanduser() if self.settings.path else Path("misp") / self.name)

    def territory(self) -> tuple[str, ...] | None:
        """The directory."""
        return ("misp-feed", self.settings.path or self.name)

    def event_uuid(self, instance: str, number: int) -> str:
        """The identifier of one of the events: always the same."""
        name = json.dumps(["misp-feed", instance, self.name, self.settings.events, number])
        return str(uuid.uuid5(NAMESPACE, name))

    def publisher(self, instance: str) -> dict[str, str]:
        """The organisation, as MISP writes it."""
        known = self.settings.organisation_uuid or uuid.uuid5(NAMESPACE, json.dumps(["misp-org", instance]))
        return {"name": self.settings.organisation, "uuid": str(known)}
