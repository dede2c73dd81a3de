"""Delivers to Microsoft Defender for Endpoint as custom indicators (IoCs).

Facts: the Indicators API's pages on the list, import and delete of indicators, on actions by type, and on the
tenant's limit of 15,000.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, ClassVar, Self, cast

from pydantic import Field, field_validator, model_validator

from tipline.durations import Duration
from tipline.kinds import NodeSettings
from tipline.microsoft.defender_body import (
    ACTIONS,
    MAX_TITLE,
    MAX_VALUE,
    SEVERITIES,
    Action,
    Severity,
    action_refusal,
    type_name,
)
from tipline.model.types import TYPES
from tipline.outputs.base import Carries
from tipline.outputs.defender_side import DefenderSide, identity_of
from tipline.outputs.defender_slots import select
from tipline.outputs.delivery import Delivered, FarSide, Ranking
from tipline.outputs.expand import expanded, internal
from tipline.outputs.microsoft_shared import MicrosoftSettings, fields_of, template
from tipline.processors.base import Reach
from tipline.store.overrides import Override
from tipline.store.schema import VIEW_COLUMNS

_BLOCKING = {"Warn", "Block", "BlockAndRemediate"}
_BY_STRENGTH = ("Allowed", "Audit", "Warn", "Block", "BlockAndRemediate")
_TYPES = sorted(name for name in TYPES if type_name(name))


class DefenderSettings(MicrosoftSettings):
    """Settings of `microsoft-defender`."""

    action: Action = Field(
        default="Audit", description="What Defender does on a match; Audit alerts and blocks nothing."
    )
    action_by_type: dict[str, Action] = Field(
        default_factory=dict,
        description="Another action for some types, such as {sha256: BlockAndRemediate}.",
    )
    severity: Severity | dict[int, Severity] = Field(
        default="Informational",
        description="Severity of the alert, or least confidence -> severity: {0: Low, 75: High}.",
    )
    generate_alert: bool = Field(default=True, description="Whether a match raises an alert (Audit always does).")
    title: str = Field(default="tipline - {value}", description="Title of the alert; {value} {type} {sources} ...")
    description: str = Field(
        default="{type} indicator from {sources}",
        description="Description; {value} {type} {sources} {confidence} ...",
    )
    recommended_actions: str = Field(default="", description="Advice for the analyst.")
    lifetime: Duration = Field(
        default=timedelta(days=30), description="When Defender forgets an indicator that is not refreshed."
    )
    rbac_groups: list[str] = Field(default_factory=list, description="Device groups it applies to; empty: all devices.")
    capacity: int = Field(
        default=14_500,
        ge=0,
        le=15_000,
        description="Indicators the tenant may hold, others' included (limit: 15,000).",
    )
    margin: int = Field(
        default=10,
        ge=0,
        le=100,
        description="Score by which a newcomer must exceed what it pushes out when full.",
    )
    expand: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Networks and ranges up to so many addresses are sent as addresses.",
    )
    md5: bool = Field(default=False, description="Send MD5 hashes, although Defender is seen to refuse them.")

    _title = field_validator("title", "description")(template)

    @field_validator("severity")
    @classmethod
    def _levels(cls, value: Any) -> Any:
        if isinstance(value, dict) and 0 not in value:
            raise ValueError("a severity for confidence 0 and up is missing: add 0: Informational")
        return value

    @model_validator(mode="after")
    def _actions(self) -> Self:
        for type_, action in self.action_by_type.items():
            kind = type_name(type_)
            if kind is None:
                raise ValueError(f"action_by_type: Defender has no type {type_!r}; there are {', '.join(_TYPES)}")
            if action not in ACTIONS[kind]:
                raise ValueError(f"action_by_type: {type_} can be {', '.join(ACTIONS[kind])}, not {action}")
        return self

    def action_for(self, type_: str) -> Action:
        """The action for one of our types."""
        return self.action_by_type.get(type_, self.action)


class MicrosoftDefender(Delivered):
    """Sends indicators to Microsoft Defender for Endpoint, within the tenant's slots."""

    kind: ClassVar[str] = "microsoft-defender"
    Settings: ClassVar[type[NodeSettings]] = DefenderSettings
    settings: DefenderSettings
    reach: ClassVar[Reach] = "interval"
    ranked: ClassVar[bool] = True
    signed_items: ClassVar[bool] = True
    types: ClassVar[frozenset[str] | None] = frozenset(_TYPES)
    carries: ClassVar[Carries] = Carries(
        types="addresses, domains, URLs, file hashes, certificates",
        confidence="as severity, if `severity` says so",
        tlp="no, unless a text names it; max_tlp filters",
        expiry="`expirationTime`, refreshed",
        removal="deleted",
        limits="15,000 indicators a tenant; no networks",
        receipt="yes, for each indicator",
    )
    example: ClassVar[str] = """\
kind: microsoft-defender
inputs: inbound
where: confidence >= 75
action: Audit
credentials:
  tenant_id: 00000000-0000-0000-0000-000000000000
  client_id: 00000000-0000-0000-0000-000000000000
  client_secret: ${env:DEFENDER_SECRET}
"""

    def open(self, instance: str, stop: threading.Event) -> FarSide:
        """The tenant's indicators."""
        return DefenderSide(self, instance, stop)

    def missing(self) -> list[str]:
        """Settings without which nobody can sign in."""
        return [f"credentials.{name}" for name in self.settings.credentials.missing()]

    def territory(self) -> tuple[str, ...] | None:
        """The tenant, with each type's action and the device groups: Defender holds one item of each."""
        tenant = self.settings.credentials.tenant_id
        actions = [f"{type_}={self.settings.action_for(type_)}" for type_ in _TYPES]
        return ("defender", tenant, *actions, *sorted(self.settings.rbac_groups)) if tenant else None

    def place(self) -> tuple[str, ...]:
        """The tenant."""
        return (self.settings.credentials.tenant_id,)

    def blocking(self) -> bool:
        """Whether any action stops traffic or files."""
        return bool({self.settings.action, *self.settings.action_by_type.values()} & _BLOCKING)

    def shown(self) -> list[str]:
        """What is sent, and what slots are given by."""
        return sorted({*self.sent_columns(), "confidence", "sources"})

    def sent_columns(self) -> list[str]:
        """What Defender shows: the templates' fields, the indicator's end, and what severity depends on."""
        used = fields_of(self.settings.title, self.settings.description)
        if isinstance(self.settings.severity, dict):
            used.add("confidence")
        return sorted({"valid_until"} | (used - {"value", "type"}))

    def shape(self, relation: str, as_of: str) -> str:
        """Single addresses, and a reason for what Defender cannot hold."""
        cases = [
            f"WHEN type NOT IN ({_quoted(_TYPES)}) THEN 'unsupported-type: not in Defender: ' || type",
            *([] if self.settings.md5 else ["WHEN type = 'md5' THEN 'md5-refused: Defender takes no MD5 hashes'"]),
            *self._impossible_actions(),
            f"WHEN {internal()} THEN 'internal-address: Defender takes only addresses of the Internet'",
            f"WHEN length(value) > {MAX_VALUE} THEN 'too-long: Defender takes up to {MAX_VALUE} characters'",
            "WHEN type = 'domain' AND contains(value, '*') THEN 'wildcard: domains cover sub-domains'",
        ]
        singles = expanded(relation, self.settings.expand)
        reason = f"coalesce(dropped, CASE {' '.join(cases)} END)"
        return f"SELECT {VIEW_COLUMNS}, {reason} AS dropped FROM ({singles})"

    def identity(self, type_: str, instance: str) -> str:
        """Action and device groups: Defender tells indicators on one value apart by them."""
        return identity_of({"action": self.settings.action_for(type_), "rbacGroupNames": self.settings.rbac_groups})

    def identity_with(self, override: Override, instance: str) -> str:
        """The same with the action that people want."""
        del instance
        action = override.action or self.settings.action_for(override.type)
        return identity_of({"action": action, "rbacGroupNames": self.settings.rbac_groups})

    def refuses(self, override: Override) -> str | None:
        """An action that Defender has not for the type, or a title or severity that it does not take."""
        kind = type_name(override.type)
        if kind is None:
            return f"Defender has no indicators of type {override.type}"
        if override.action is not None:
            if override.action not in _BY_STRENGTH:
                return f"Defender has no action {override.action}; there are {', '.join(ACTIONS[kind])}"
            refusal = action_refusal(kind, cast("Action", override.action))
            if refusal:
                return refusal.text
        if override.severity is not None and override.severity not in SEVERITIES:
            return f"Defender has no severity {override.severity}; there are {', '.join(SEVERITIES)}"
        if override.title is not None and not 0 < len(override.title.strip()) <= MAX_TITLE:
            return f"a title has 1 to {MAX_TITLE} characters"
        return None

    def drastic(self, override: Override) -> str | None:
        """Whether the action stops something, or lets it through."""
        if override.action in _BLOCKING:
            return "blocks"
        return "lets through" if override.action == "Allowed" else None

    def sent_settings(self) -> dict[str, Any]:
        """What every body is made of."""
        names = {
            "action",
            "action_by_type",
            "severity",
            "generate_alert",
            "title",
            "description",
            "rbac_groups",
            "recommended_actions",
            "lifetime",
        }
        return self.settings.model_dump(mode="json", include=names)

    def select(self, ranked: Ranking) -> str:
        """The best by score within the slots; a URL under a listed domain takes none."""
        return select(
            ranked,
            slots=max(0, self.settings.capacity - ranked.slots_taken),
            margin=self.settings.margin,
            actions=_BY_STRENGTH,
        )

    def _impossible_actions(self) -> list[str]:
        refused = {}
        for type_ in _TYPES:
            refusal = action_refusal(type_name(type_) or "", self.settings.action_for(type_))
            if refusal:
                refused[type_] = f"{refusal.code}: {refusal.text}".replace("'", "''")
        return [f"WHEN type = '{type_}' THEN '{reason}'" for type_, reason in refused.items()]


def _quoted(words: list[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
