"""Delivers to Microsoft Graph's tiIndicators, which is retired; for the endpoints that still speak it.

Facts: the API's pages, which said that it "will be removed by April 2026". `microsoft-sentinel` replaces it for
Sentinel, `microsoft-defender` for Defender for Endpoint.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tipline.durations import Duration
from tipline.errors import ConfigError
from tipline.kinds import NodeSettings
from tipline.microsoft.clouds import checked_url
from tipline.model.types import TYPES
from tipline.outputs.base import Carries, unsupported
from tipline.outputs.delivery import Delivered, FarSide
from tipline.outputs.expand import expanded
from tipline.outputs.graph_side import DEFENDER, RETIRED, GraphSide
from tipline.outputs.microsoft_shared import MicrosoftSettings
from tipline.processors.base import Reach
from tipline.store.schema import VIEW_COLUMNS

_TYPES = sorted(name for name, type_ in TYPES.items() if type_.graph)
_FOR_DEFENDER = {"ipv4", "ipv6", "domain", "url", "md5", "sha1", "sha256"}


class GraphSettings(MicrosoftSettings):
    """Settings of `microsoft-graph`."""

    graph_url: str = Field(default="https://graph.microsoft.com", description="An endpoint that speaks the API.")
    target_product: Literal["Azure Sentinel", "Microsoft Defender ATP"] = Field(
        default="Azure Sentinel", description="The product that is to use the indicators."
    )
    action: Literal["unknown", "allow", "block", "alert"] = Field(default="alert", description="What a match does.")
    passive_only: bool = Field(default=False, description="Matches show nothing to users.")
    threat_type: Literal[
        "Botnet", "C2", "CryptoMining", "Darknet", "DDoS", "MaliciousUrl", "Malware", "Phishing", "Proxy", "PUA",
        "WatchList",
    ] = Field(default="WatchList", description="threatType where the indicator's own names none.")  # fmt: skip
    severity: int = Field(default=3, ge=0, le=5, description="0 to 5.")
    lifetime: Duration = Field(default=timedelta(days=30), description="How long an indicator counts unless refreshed.")
    refresh: Duration = Field(default=timedelta(days=10), description="It is sent again when so much is left.")
    batch: int = Field(default=100, ge=1, le=100, description="Indicators in a call (some endpoints took only 50).")
    expand: int = Field(default=16, ge=1, le=1024, description="Networks up to so many addresses become addresses.")

    @field_validator("graph_url")
    @classmethod
    def _https(cls, value: str) -> str:
        try:
            return checked_url("graph_url", value)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.refresh >= self.lifetime:
            raise ValueError("refresh must be less than lifetime")
        return self


class MicrosoftGraph(Delivered):
    """Sends to Graph's tiIndicators, which is retired: microsoft-sentinel and microsoft-defender replace it.

    Microsoft removed the API in April 2026. The kind is for endpoints that still speak it; `tipline check` and
    `tipline doctor` say so too. A new set-up has no use for it.
    """

    kind: ClassVar[str] = "microsoft-graph"
    retired: ClassVar[str] = RETIRED
    Settings: ClassVar[type[NodeSettings]] = GraphSettings
    settings: GraphSettings
    reach: ClassVar[Reach] = "interval"
    types: ClassVar[frozenset[str] | None] = frozenset(_TYPES)
    carries: ClassVar[Carries] = Carries(
        types="those with a property of tiIndicator",
        confidence="0 to 100",
        tlp="`tlpLevel`",
        expiry="`expirationDateTime`, refreshed",
        removal="deleted",
        receipt="yes, for each indicator",
        limits="retired; 100 a call; description up to 100 characters; single addresses",
    )
    example: ClassVar[str] = """\
kind: microsoft-graph
inputs: inbound
graph_url: https://graph.example.org
target_product: Azure Sentinel
credentials:
  tenant_id: 00000000-0000-0000-0000-000000000000
  client_id: 00000000-0000-0000-0000-000000000000
  client_secret: ${env:GRAPH_SECRET}
"""

    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The endpoint."""
        return GraphSide(self, instance, stop)

    def missing(self) -> list[str]:
        """Settings without which nobody can sign in."""
        return [f"credentials.{name}" for name in self.settings.credentials.missing()]

    def shown(self) -> list[str]:
        """What an indicator shows."""
        return ["confidence", "description", "direction", "tags", "threat_types", "tlp", "valid_until"]

    def shape(self, relation: str, as_of: str) -> str:
        """Single addresses, and a reason for what the product does not take."""
        taken = _FOR_DEFENDER if self.settings.target_product == DEFENDER else _TYPES
        why = unsupported(taken, "tiIndicator has no property for")
        rows = expanded(relation, self.settings.expand)
        return f"SELECT {VIEW_COLUMNS}, coalesce(dropped, {why}) AS dropped FROM ({rows})"

    def place(self) -> tuple[str, ...]:
        """The tenant, at its endpoint."""
        return (self.settings.graph_url, self.settings.credentials.tenant_id)

    def identity(self, type_: str, instance: str) -> str:
        """The endpoint, the product, and the installation."""
        return f"{self.settings.graph_url}|{self.settings.target_product}|{instance}"

    def sent_settings(self) -> dict[str, Any]:
        """What every indicator is made of."""
        names = {"action", "passive_only", "threat_type", "severity", "lifetime"}
        return self.settings.model_dump(mode="json", include=names)
