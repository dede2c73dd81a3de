"""MISP servers: indicators as attributes of one event, or of one for each source."""

from __future__ import annotations

import threading
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from tipline.kinds import Names, NodeSettings
from tipline.outputs.base import Carries, unsupported
from tipline.outputs.delivery import Delivered, DeliveredSettings, FarSide
from tipline.outputs.misp_side import MispSide
from tipline.outputs.misp_words import WORDS
from tipline.outputs.tls import TlsSettings
from tipline.processors.base import Reach
from tipline.processors.iptext import to_cidrs
from tipline.store.schema import VIEW_COLUMNS

_SHARING_GROUP = 4


class MispPushSettings(DeliveredSettings, TlsSettings):
    """Settings of `misp-push`."""

    url: str = Field(default="", pattern=r"^(https?://[^@\s]+)?$", description="The server's address.")
    key: SecretStr | None = Field(default=None, description="The key of a user who may add and publish events.")
    event: Literal["output", "source"] = Field(default="output", description="One event for all, or one a source.")
    title: str = Field(default="", description="The event's info; the output's name unless set (`: SOURCE` follows).")
    event_distribution: int = Field(
        default=0, ge=0, le=4, description="0 own organisation, 1 community, ... 4 sharing group."
    )
    sharing_group: int | None = Field(
        default=None, ge=1, description="event_distribution 4: the sharing group's number."
    )
    threat_level: int = Field(default=4, ge=1, le=4, description="1 high, 2 medium, 3 low, 4 undefined.")
    tags: Names = Field(default_factory=list, description="Tags of the event.")
    attribute_tags: bool = Field(default=True, description="Whether attributes have the indicator's tags and its TLP.")
    to_ids: bool = Field(default=True, description="Whether attributes are marked for detection.")
    publish: bool = Field(default=True, description="Publish an event once its changes are there.")
    batch: int = Field(default=500, ge=1, le=5000, description="Attributes in one request.")
    timeout: float = Field(default=120, gt=0, description="Longest wait for an answer, in seconds.")

    @field_validator("tags")
    @classmethod
    def _plain(cls, tags: list[str]) -> list[str]:
        if any(not tag.strip() for tag in tags):
            raise ValueError("a tag is empty")
        return tags

    @model_validator(mode="after")
    def _group(self) -> Self:
        if (self.event_distribution == _SHARING_GROUP) != (self.sharing_group is not None):
            raise ValueError("sharing_group goes with event_distribution 4")
        return self


class MispPush(Delivered):
    """Keeps an event of a MISP server (or one for each source) as what is published."""

    kind: ClassVar[str] = "misp-push"
    Settings: ClassVar[type[NodeSettings]] = MispPushSettings
    settings: MispPushSettings
    reach: ClassVar[Reach] = "interval"
    types: ClassVar[frozenset[str] | None] = frozenset(WORDS)
    carries: ClassVar[Carries] = Carries(
        types="those with a MISP attribute",
        confidence="in the comment",
        tlp="tag",
        expiry="no",
        removal="soft deletion",
        limits="ranges become CIDRs; needs PyMISP",
        receipt="yes, read back",
    )
    example: ClassVar[str] = """\
kind: misp-push
inputs: inbound
url: https://misp.example.org
key: ${env:MISP_KEY}
tags: ['tlp:green']
"""

    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The server."""
        return MispSide(self, instance, stop)

    def missing(self) -> list[str]:
        """Settings without which nobody can sign in."""
        return [name for name in ("url", "key") if not getattr(self.settings, name)]

    def shown(self) -> list[str]:
        """What attributes show."""
        return ["confidence", "description", "direction", "sources", "tags", "tlp"]

    def shape(self, relation: str, as_of: str) -> str:
        """Ranges as CIDRs, and a reason for types that MISP has no attribute for."""
        why = unsupported(WORDS, "MISP has no attribute for")
        return f"SELECT {VIEW_COLUMNS}, {why} AS dropped FROM ({to_cidrs(relation)})"

    def place(self) -> tuple[str, ...]:
        """The server."""
        return (self.settings.url,)

    def identity(self, type_: str, instance: str) -> str:
        """The server, and what the events' identifiers are made of."""
        return f"{self.settings.url}|{instance}|{self.settings.event}"

    def territory(self) -> tuple[str, ...] | None:
        """Its own events."""
        return ("misp", self.settings.url, self.name) if self.settings.url else None

    def sent_settings(self) -> dict[str, Any]:
        """What every attribute is made of."""
        return self.settings.model_dump(mode="json", include={"to_ids", "attribute_tags"})
