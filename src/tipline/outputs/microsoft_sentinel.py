"""Delivers to Microsoft Sentinel as STIX indicators.

Facts: the page of the upload API for STIX objects, and the analytics rules of the Threat Intelligence
solution: they join by equality on an observable's value, and never match an indicator without an end.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tipline.durations import Duration
from tipline.errors import ConfigError
from tipline.kinds import NodeSettings
from tipline.microsoft.sentinel import check_source_system
from tipline.microsoft.stix import pattern_for
from tipline.model.types import TYPES
from tipline.outputs.base import Carries, unsupported
from tipline.outputs.delivery import Delivered, FarSide
from tipline.outputs.expand import expanded
from tipline.outputs.microsoft_shared import MicrosoftSettings, fields_of, template
from tipline.outputs.sentinel_side import SentinelSide, identity_of
from tipline.processors.base import Reach
from tipline.processors.iptext import to_cidrs
from tipline.store.schema import VIEW_COLUMNS

# Only what is no word of STIX needs care: a type is carried if a plain value of it has a pattern.
_TYPES = sorted(name for name in TYPES if pattern_for(name, "1"))


class SentinelSettings(MicrosoftSettings):
    """Settings of `microsoft-sentinel`."""

    workspace_id: str = Field(default="", description="Workspace ID (a GUID) of the Log Analytics workspace.")
    subscription_id: str = Field(default="", description="For reading back and tidying: the Azure subscription.")
    resource_group: str = Field(default="", description="For reading back and tidying: the resource group.")
    workspace_name: str = Field(default="", description="For reading back and tidying: the workspace's name.")
    source_system: str = Field(
        default="tipline", description="Name the indicators are kept under; changing it makes second copies."
    )
    lifetime: Duration = Field(default=timedelta(days=30), description="How long an indicator counts unless refreshed.")
    refresh: Duration = Field(
        default=timedelta(days=10),
        description="It is refreshed when so much is left, spread over the half of it.",
    )
    networks: Literal["expand", "cidr"] = Field(
        default="expand",
        description="Networks as addresses (rules join by equality), or as CIDRs that no rule matches.",
    )
    expand: int = Field(
        default=16,
        ge=1,
        le=1024,
        description="Networks and ranges up to so many addresses are sent as addresses.",
    )
    name: str = Field(default="{value}", description="Name in the portal; {value} {type} {sources} {confidence} ...")
    description: str = Field(default="{description}", description="Description; the same fields.")
    indicator_types: list[str] = Field(
        default_factory=lambda: ["malicious-activity"],
        description="STIX indicator_types where no threat type is known.",
    )
    tidy: bool = Field(default=False, description="Delete withdrawn indicators by Azure Resource Manager as well.")

    _templates = field_validator("name", "description")(template)

    @field_validator("source_system")
    @classmethod
    def _source_system(cls, value: str) -> str:
        try:
            check_source_system(value)
        except ConfigError as exc:
            raise ValueError(str(exc)) from None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.refresh >= self.lifetime:
            raise ValueError("refresh must be less than lifetime")
        if self.tidy and not self.managed:
            raise ValueError("tidy needs subscription_id, resource_group and workspace_name")
        return self

    @property
    def managed(self) -> bool:
        """Whether the workspace can be read and tidied by Azure Resource Manager."""
        return bool(self.subscription_id and self.resource_group and self.workspace_name)


class MicrosoftSentinel(Delivered):
    """Sends indicators to a Microsoft Sentinel workspace as STIX objects."""

    kind: ClassVar[str] = "microsoft-sentinel"
    Settings: ClassVar[type[NodeSettings]] = SentinelSettings
    settings: SentinelSettings
    reach: ClassVar[Reach] = "interval"
    types: ClassVar[frozenset[str] | None] = frozenset(_TYPES)
    carries: ClassVar[Carries] = Carries(
        types="those with a STIX pattern",
        confidence="0 to 100",
        tlp="marking",
        expiry="`valid_until`, refreshed",
        removal="ended, or revoked if it was allowed",
        limits="100 objects a call; networks as addresses or CIDRs",
        receipt="yes, for each object",
    )
    example: ClassVar[str] = """\
kind: microsoft-sentinel
inputs: inbound
workspace_id: 00000000-0000-0000-0000-000000000000
credentials:
  tenant_id: 00000000-0000-0000-0000-000000000000
  client_id: 00000000-0000-0000-0000-000000000000
  client_secret: ${env:SENTINEL_SECRET}
"""

    def territory(self) -> tuple[str, ...] | None:
        """The workspace and the source system that indicators are kept under."""
        workspace = self.settings.workspace_id
        return ("sentinel", workspace, self.settings.source_system) if workspace else None

    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The workspace."""
        return SentinelSide(self, instance, stop)

    def missing(self) -> list[str]:
        """Settings without which nobody can sign in."""
        absent = [f"credentials.{name}" for name in self.settings.credentials.missing()]
        return absent if self.settings.workspace_id else [*absent, "workspace_id"]

    def shown(self) -> list[str]:
        """What Sentinel shows: never `first_seen`, which feeds change without meaning."""
        used = fields_of(self.settings.name, self.settings.description) - {"value", "type"}
        return sorted({"confidence", "tlp", "threat_types", "tags", "refs", "valid_until"} | used)

    def shape(self, relation: str, as_of: str) -> str:
        """Single addresses (or CIDRs), and a reason for what STIX cannot say."""
        cidr = self.settings.networks == "cidr"
        source = f"({to_cidrs(relation)})" if cidr else relation
        rows = (
            f"SELECT {VIEW_COLUMNS}, NULL::VARCHAR AS dropped FROM {source}"
            if cidr
            else expanded(source, self.settings.expand)
        )
        why = unsupported(_TYPES, "STIX has no pattern for")
        return f"SELECT {VIEW_COLUMNS}, coalesce(dropped, {why}) AS dropped FROM ({rows})"

    def identity(self, type_: str, instance: str) -> str:
        """Workspace, source system and instance: with another of them an indicator is another copy."""
        return identity_of(self.settings.workspace_id, self.settings.source_system, instance)

    def sent_settings(self) -> dict[str, Any]:
        """What every object is made of."""
        names = {"lifetime", "name", "description", "indicator_types"}
        return self.settings.model_dump(mode="json", include=names)
