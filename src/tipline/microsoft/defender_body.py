"""Indicators as Defender for Endpoint's API takes them; pure functions.

Facts: the API's pages `ti-indicator.md`, `import-ti-indicators.md`, `indicators-overview.md`,
`indicator-ip-domain.md`. The lengths are what careful clients keep to; Microsoft's pages name none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from tipline.model.types import TYPES

Action = Literal["Allowed", "Audit", "Warn", "Block", "BlockAndRemediate"]
Severity = Literal["Informational", "Low", "Medium", "High"]

SEVERITIES: tuple[Severity, ...] = ("Informational", "Low", "Medium", "High")
MAX_TITLE = 100  # characters
MAX_DESCRIPTION = 100  # characters
MAX_VALUE = 800  # characters

_NETWORK: tuple[Action, ...] = ("Allowed", "Audit", "Warn", "Block")
_FILE: tuple[Action, ...] = (*_NETWORK, "BlockAndRemediate")
ACTIONS: Mapping[str, tuple[Action, ...]] = MappingProxyType(
    {
        "IpAddress": _NETWORK,
        "DomainName": _NETWORK,
        "Url": _NETWORK,
        "FileMd5": _FILE,
        "FileSha1": _FILE,
        "FileSha256": _FILE,
        "CertificateThumbprint": ("Allowed", "BlockAndRemediate"),
    }
)


class Refusal(NamedTuple):
    """Why an indicator cannot be sent: a short code, and a sentence for the reader."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class IndicatorBody:
    """What a Defender indicator says.

    Args:
        type: our type, such as `ipv4`.
        value: canonical value.
        action: what Defender does on a match.
        severity: of the alert.
        title: of the alert; cut at 100 characters.
        description: cut at 100 characters; the title when empty.
        expiration: when it lapses (naive is UTC); None never.
        generate_alert: raise an alert; always true for Audit, which does nothing else.
        rbac_group_names: device groups; empty means all devices.
        external_id: our own identifier of it.
        recommended_actions: for the analyst.
        application: shown in the portal; Defender keeps the first one.
        allow_md5: send MD5 although Defender is seen to refuse it.
    """

    type: str
    value: str
    action: Action = "Audit"
    severity: Severity = "Informational"
    title: str = ""
    description: str = ""
    expiration: datetime | None = None
    generate_alert: bool = True
    rbac_group_names: tuple[str, ...] = ()
    external_id: str | None = None
    recommended_actions: str | None = None
    application: str | None = None
    allow_md5: bool = False


def body_for(indicator: IndicatorBody) -> dict[str, Any] | Refusal:
    """The JSON object to import, or why Defender cannot have this indicator."""
    value = value_for(indicator.type, indicator.value, allow_md5=indicator.allow_md5)
    if isinstance(value, Refusal):
        return value
    kind = type_name(indicator.type) or ""
    refused = action_refusal(kind, indicator.action)
    if refused:
        return refused
    title = clipped(indicator.title, MAX_TITLE)
    if not title:
        return Refusal("no-title", "Defender wants a title: give the output a title template")
    body: dict[str, Any] = {
        "indicatorValue": value,
        "indicatorType": kind,
        "action": indicator.action,
        "title": title,
        "description": clipped(indicator.description, MAX_DESCRIPTION) or title,
        "severity": indicator.severity,
        "generateAlert": indicator.generate_alert or indicator.action == "Audit",
        "expirationTime": timestamp(indicator.expiration) if indicator.expiration else None,
        "externalId": indicator.external_id,
        "recommendedActions": indicator.recommended_actions,
        "application": indicator.application,
        "rbacGroupNames": list(indicator.rbac_group_names),
    }
    return {name: content for name, content in body.items() if content is not None}


def value_for(type_: str, value: str, *, allow_md5: bool = False) -> str | Refusal:
    """The value in Defender's spelling, or why it cannot be sent."""
    if type_name(type_) is None:
        return Refusal("unsupported-type", f"Defender has no indicators of type {type_}")
    if type_ == "md5" and not allow_md5:
        return Refusal("md5-refused", "Defender refuses MD5 hashes when an indicator is created")
    if type_ in {"ipv4", "ipv6"}:
        return _address(value)
    if len(value) > MAX_VALUE:
        return Refusal("too-long", f"{len(value)} characters; Defender takes at most {MAX_VALUE}")
    if "*" in value and type_ == "domain":
        return Refusal("wildcard", "Defender takes no wildcards; a domain covers its sub-domains anyway")
    return value


def type_name(type_: str) -> str | None:
    """Defender's name of one of our types; None when it has none."""
    row = TYPES.get(type_)
    return row.defender if row else None


def action_refusal(kind: str, action: Action) -> Refusal | None:
    """Why an action is not possible for one of Defender's types; None if it is."""
    possible = ACTIONS[kind]
    if action in possible:
        return None
    return Refusal("action-not-allowed", f"Defender allows {', '.join(possible)} for {kind}, not {action}")


def _address(value: str) -> str | Refusal:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        return Refusal("not-one-address", f"{value} is not a single address: expand the range first")
    if network.num_addresses != 1:
        return Refusal("not-one-address", f"{value} is a network: expand it to addresses first")
    address = network.network_address
    if not address.is_global or address.is_multicast:
        return Refusal("internal-address", f"{address} is not on the Internet; Defender takes only external IPs")
    if isinstance(address, ipaddress.IPv6Address):
        return eight_segments(address)
    return str(address)


def eight_segments(address: ipaddress.IPv6Address) -> str:
    """An IPv6 address with all its segments, none of them padded: 2001:4860:4860:0:0:0:0:8888."""
    return ":".join(f"{int(part, 16):x}" for part in address.exploded.split(":"))


def clipped(text: str, limit: int) -> str:
    """The text on one line, cut at a limit of characters with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def timestamp(when: datetime) -> str:
    """A time as Defender writes it, to the second; naive times are UTC."""
    utc = when.astimezone(UTC) if when.tzinfo else when
    return utc.strftime("%Y-%m-%dT%H:%M:%SZ")
