"""What Defender accepts in one indicator (sections 2.1 to 2.3); everything else is a `ProblemError`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from .behaviours import Behaviour
from .limits import Limits
from .times import parse, stamp, trimmed

REQUIRED = ("indicatorValue", "indicatorType", "action", "title", "description")
#: every field of the entity in the order of the answers (2.5), with what a fresh one holds
ENTITY: dict[str, Any] = {
    "id": None, "indicatorValue": None, "indicatorType": None, "action": None, "createdBy": None,
    "severity": "Informational", "category": 1, "application": None, "educateUrl": None,
    "bypassDurationHours": None, "title": None, "description": None, "recommendedActions": None,
    "creationTimeDateTimeUtc": None, "expirationTime": None, "lastUpdateTime": None, "lastUpdatedBy": None,
    "rbacGroupNames": [], "rbacGroupIds": [], "notificationId": None, "notificationBody": None,
    "version": None,
    "mitreTechniques": [], "historicalDetection": False, "lookBackPeriod": None, "generateAlert": False,
    "additionalInfo": None, "createdByDisplayName": None, "externalId": None, "createdBySource": None,
    "certificateInfo": None,
}  # fmt: skip
#: what a caller may set; the rest of the entity is ignored in requests
SETTABLE = (
    "indicatorValue", "indicatorType", "action", "severity", "application", "educateUrl", "title",
    "description",
    "recommendedActions", "expirationTime", "rbacGroupNames", "rbacGroupIds", "mitreTechniques",
    "generateAlert",
    "externalId",
)  # fmt: skip
_HASHES = {"FileSha1": 40, "FileSha256": 64, "FileMd5": 32, "CertificateThumbprint": 40}
_TYPES = (*_HASHES, "IpAddress", "DomainName", "Url")
_ACTIONS = ("Allowed", "Audit", "Warn", "Block", "BlockAndRemediate")
_RETIRED = ("Alert", "AlertAndBlock")
_SEVERITIES = ("Informational", "Low", "Medium", "High")
_INTERNAL = [
    ip_network(each)
    for each in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.168.0.0/16", "224.0.0.0/3", "::/127", "fc00::/7", "fe80::/10", "ff00::/8",
    )
]  # fmt: skip
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


class ProblemError(Exception):
    """An indicator is refused, with Defender's code and a text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FullError(ProblemError):
    """The tenant holds as many indicators as it may."""


def check(body: Any, behaviour: Behaviour, limits: Limits, now: datetime) -> dict[str, Any]:
    """The settable fields of a request, checked and in canonical form.

    Raises:
        ProblemError: the indicator is refused.
    """
    if not isinstance(body, dict):
        raise ProblemError("InvalidRequestBody", "Request body is incorrect.")
    _names(body, behaviour)
    item = {name: body[name] for name in SETTABLE if body.get(name) is not None}
    _texts(item, limits)
    _enums(item, behaviour)
    _value(item, behaviour)
    _groups(item)
    if "expirationTime" in item:
        item["expirationTime"] = _expiry(item["expirationTime"], behaviour, now)
    _alert(item, behaviour)
    return item


def _names(body: dict[str, Any], behaviour: Behaviour) -> None:
    lower = {name.lower(): name for name in ENTITY}
    wrong = [name for name in body if name not in ENTITY and str(name).lower() in lower]
    if wrong and behaviour.field_case == "InvalidRequestBody":
        raise ProblemError("InvalidRequestBody", f"Request body is incorrect: {wrong[0]}.")
    unknown = [name for name in body if str(name).lower() not in lower]
    if unknown and behaviour.unknown_fields == "refused":
        raise ProblemError("InvalidRequestBody", f"Request body is incorrect: {unknown[0]}.")
    for name in REQUIRED:
        if body.get(name) is None:
            raise ProblemError("MissingRequiredParameter", f"Required parameter '{name}' is missing.")


def _texts(item: dict[str, Any], limits: Limits) -> None:
    texts = (*REQUIRED, "severity", "application", "educateUrl", "recommendedActions", "externalId")
    for name in texts:
        if name in item and not isinstance(item[name], str):
            raise ProblemError("InvalidRequestBody", f"Parameter '{name}' must be a string.")
    if not item["indicatorValue"].strip():
        raise ProblemError("InvalidInput", "Recieved an empty indicator value.")  # Microsoft's spelling
    most = {
        "indicatorValue": limits.value_max,
        "title": limits.title_max,
        "description": limits.description_max,
    }
    for name, longest in most.items():
        if longest and len(item[name]) > longest:
            raise ProblemError("InvalidInput", f"Parameter '{name}' is longer than {longest} characters.")
        if not item[name].strip():
            raise ProblemError("MissingRequiredParameter", f"Required parameter '{name}' is missing.")


def _enums(item: dict[str, Any], behaviour: Behaviour) -> None:
    if item["indicatorType"] not in _TYPES:
        raise ProblemError("InvalidInput", f"Invalid indicatorType '{item['indicatorType']}'.")
    if item["indicatorType"] == "FileMd5" and behaviour.md5 == "refused":
        raise ProblemError("InvalidInput", "Indicators of type FileMd5 are not supported for create requests.")
    if item.get("severity", "Low") not in _SEVERITIES:
        raise ProblemError("InvalidInput", f"Invalid severity '{item['severity']}'.")
    action = item["action"]
    retired = action in _RETIRED and behaviour.retired_actions == "accepted"
    if action not in _ACTIONS and not retired:
        raise ProblemError("InvalidInput", f"Invalid action '{action}'.")
    if behaviour.action_by_type == "strict" and not retired and not _fits(action, item["indicatorType"]):
        raise ProblemError("InvalidInput", f"Action '{action}' is not supported for {item['indicatorType']}.")


def _fits(action: str, kind: str) -> bool:
    if kind == "CertificateThumbprint":
        return action in ("Allowed", "BlockAndRemediate")
    return action != "BlockAndRemediate" or kind in _HASHES


def _value(item: dict[str, Any], behaviour: Behaviour) -> None:
    kind, value = item["indicatorType"], item["indicatorValue"]
    if kind in _HASHES:
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{_HASHES[kind]}}}", value):
            raise ProblemError("InvalidHashValue", f"Invalid {kind} value '{value}'.")
    elif kind == "IpAddress":
        _address(value, behaviour)
    elif kind == "DomainName":
        if not _is_domain(value, behaviour):
            raise ProblemError("InvalidDomainName", f"Invalid domain name '{value}'.")
    elif not _is_url(value, behaviour):
        raise ProblemError("InvalidUrl", f"Invalid URL '{value}'.")


def _address(value: str, behaviour: Behaviour) -> None:
    try:
        address = ip_address(value)
    except ValueError:
        raise ProblemError("InvalidIpAddress", f"Invalid IP address '{value}'.") from None
    if isinstance(address, IPv6Address):
        if "%" in value or (behaviour.ipv6 == "eight-segments" and value.count(":") != 7):
            raise ProblemError("InvalidIpAddress", f"Invalid IP address '{value}': specify all 8 segments.")
        if address.ipv4_mapped:
            address = address.ipv4_mapped
    if any(_inside(address, network) for network in _INTERNAL):
        raise ProblemError("InvalidIpAddress", f"IP address '{value}' is internal; only external IPs can be added.")


def _inside(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    return address.version == network.version and address in network


def _is_domain(value: str, behaviour: Behaviour) -> bool:
    if not value.isascii():
        if behaviour.unicode_domains == "refused":
            return False
        value = re.sub(r"[^\x00-\x7f]", "x", value)
    labels = value.split(".")
    fits = len(value) <= 253 and len(labels) > 1 and not labels[-1].isdigit()
    return fits and all(_LABEL.fullmatch(label) for label in labels)


def _is_url(value: str, behaviour: Behaviour) -> bool:
    if re.search(r"[\s<>\"\\]", value):
        return False
    schemed = re.match(r"https?://", value, re.IGNORECASE)
    if not schemed and behaviour.url_scheme == "required":
        return False
    try:
        parts = urlsplit(value if schemed else f"http://{value}")
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return _is_domain(host, behaviour) or _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _groups(item: dict[str, Any]) -> None:
    names = item.get("rbacGroupNames", [])
    if isinstance(names, str):
        names = [each.strip() for each in names.split(",") if each.strip()]
    ids = item.get("rbacGroupIds", [])
    fine: list[Callable[[], bool]] = [
        lambda: isinstance(names, list) and all(isinstance(each, str) for each in names),
        lambda: isinstance(ids, list) and all(isinstance(each, int | str) for each in ids),
        lambda: isinstance(item.get("mitreTechniques", []), list),
        lambda: isinstance(item.get("generateAlert", False), bool),
    ]
    if not all(test() for test in fine):
        raise ProblemError("InvalidRequestBody", "Request body is incorrect.")
    item |= {"rbacGroupNames": names, "rbacGroupIds": ids}


def _expiry(value: Any, behaviour: Behaviour, now: datetime) -> str:
    moment = parse(value)
    if moment is None:
        raise ProblemError("InvalidRequestBody", "Parameter 'expirationTime' is not a DateTimeOffset.")
    if moment <= now and behaviour.past_expiry == "refused":
        raise ProblemError("InvalidInput", "Expiration time must be in the future.")
    return trimmed(stamp(moment))


def _alert(item: dict[str, Any], behaviour: Behaviour) -> None:
    if item["action"] == "Audit" and not item.get("generateAlert") and behaviour.audit_without_alert == "refused":
        raise ProblemError("InvalidInput", "generateAlert must be true for action Audit.")
    if item.get("educateUrl") and (item["action"] not in ("Block", "Warn") or item["indicatorType"] != "Url"):
        raise ProblemError("InvalidInput", "educateUrl is only supported for Block and Warn of type Url.")


def identity(item: dict[str, Any]) -> str:
    """The upsert key (2.4): type, normalised value, action and device groups."""
    value = item["indicatorValue"] if item["indicatorType"] == "Url" else item["indicatorValue"].lower()
    scope = sorted({*item["rbacGroupNames"], *map(str, item["rbacGroupIds"])})
    return "|".join((item["indicatorType"], item["action"], ",".join(scope), value))
