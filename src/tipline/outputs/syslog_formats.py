"""Events as CEF, LEEF and JSON, each with the escaping that its specification asks for.

CEF: ArcSight Common Event Format 0; LEEF: IBM's Log Event Extended Format 2.0, which has no escapes, so that
each message says itself which character stands between its attributes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from tipline import __version__
from tipline.outputs.events import Event

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LINE_END = set("\n\r\x85\u2028\u2029")
_NAMES = {"add": "Indicator added", "change": "Indicator changed", "remove": "Indicator removed"}
_REPEATED = "Indicator repeated"
# CEF's custom fields: key, label, and the event's field.
_LABELLED = (
    ("cs1", "Indicator", "value"),
    ("cs2", "Type", "type"),
    ("cs3", "Sources", "sources"),
    ("cs4", "Tags", "tags"),
    ("cs5", "TLP", "tlp"),
    ("cs6", "Threat types", "threat_types"),
    ("cn1", "Confidence", "confidence"),
)
# Longest values of CEF's dictionary, in characters; keys that are not here take 1023.
_LONGEST = {"cs1": 4000, "cs2": 4000, "cs3": 4000, "cs4": 4000, "cs5": 4000, "cs6": 4000, "fileHash": 255}
_DEFAULT_LONGEST = 1023
_HASHES = ("md5", "sha1", "sha256", "sha512")
_CEF_KEYS = {
    "domain": "dhost", "url": "request", "email": "suser", "file-name": "fname", "file-path": "filePath",
    "user-agent": "requestClientApplication", **dict.fromkeys(_HASHES, "fileHash"),
}  # fmt: skip
_LEEF_KEYS = {"url": "url", "email": "usrName"}
_DELIMITERS = ("^", "~", "!", "¦")
#: Fields that a template of a key may use.
TEXTS = (
    "id", "event", "key", "type", "value", "confidence", "tlp", "direction", "threat_types", "tags", "sources",
    "description", "references", "valid_until", "reason", "instance", "output",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Who tells: the installation, the output, and the fields that the user set."""

    instance: str
    output: str
    fields: Mapping[str, str]


Format = Callable[[Event, Origin, datetime], str]


def cef(event: Event, origin: Origin, now: datetime) -> str:
    """An event as CEF.

    Raises:
        ValueError: the indicator is longer than CEF's fields.
    """
    content = event.content
    found: dict[str, Any] = {"rt": _millis(now), "cat": "threat-indicator", "act": event.event, "externalId": event.id}
    for key, label, name in _LABELLED:
        if name in content:
            found |= {key: content[name], f"{key}Label": label}
    found |= _cef_target(content)
    if "valid_until" in content:
        end = datetime.fromisoformat(content["valid_until"]).replace(tzinfo=None)
        found |= {"deviceCustomDate1": _millis(end), "deviceCustomDate1Label": "Valid until"}
    found |= {"msg": content.get("description"), "reason": content.get("reason")}
    found["deviceExternalId"] = f"{origin.instance}/{origin.output}"
    texts = _with_own(found, event, origin)
    if len(texts["cs1"]) > _LONGEST["cs1"]:
        raise ValueError(f"longer than the {_LONGEST['cs1']} characters of a field of CEF")
    pairs = [f"{key}={_cef_value(text[: _LONGEST.get(key, _DEFAULT_LONGEST)])}" for key, text in texts.items()]
    head = ("CEF:0", "tipline", "tipline", __version__, f"indicator-{event.event}", _name(event), _severity(content))
    return "|".join(map(_cef_head, head)) + "|" + " ".join(pairs)


def leef(event: Event, origin: Origin, now: datetime) -> str:
    """An event as LEEF 2.0."""
    content = event.content
    found: dict[str, Any] = {
        "cat": "threat-indicator",
        "devTime": now.strftime("%Y-%m-%dT%H:%M:%S") + "+0000",
        "devTimeFormat": "yyyy-MM-dd'T'HH:mm:ssZ",
        "sev": max(1, int(_severity(content))),
        "eventId": event.id,
        "action": event.event,
        **{_camel(name): value for name, value in content.items()},
        "instance": origin.instance,
        "output": origin.output,
    }
    kind, value = content["type"], content["value"]
    if kind in {"ipv4", "ipv6"} and not {"/", "-"} & set(value):
        found["src" if content.get("direction") == "inbound" else "dst"] = value
    elif kind in _LEEF_KEYS:
        found[_LEEF_KEYS[kind]] = value
    pairs = [f"{key}={_flat(text)}" for key, text in _with_own(found, event, origin).items()]
    delimiter = next((mark for mark in _DELIMITERS if not any(mark in pair for pair in pairs)), "\t")
    shown = delimiter if delimiter != "\t" else "x09"
    head = "|".join(("LEEF:2.0", "tipline", "tipline", __version__, f"indicator-{event.event}", shown))
    return f"{head}|{delimiter.join(pairs)}"


def as_json(event: Event, origin: Origin, now: datetime) -> str:
    """An event as one line of JSON."""
    found = {
        "time": now.replace(tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "id": event.id, "event": event.event,
        "instance": origin.instance, "output": origin.output, **event.content,
    }  # fmt: skip
    for key, text in origin.fields.items():
        found.pop(key, None)
        if text:
            found[key] = _filled(text, event, origin)
    # Some readers end a line at these too.
    return re.sub("[\x85\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(found).decode())


FORMATS: dict[str, Format] = {"cef": cef, "leef": leef, "json": as_json}


def _cef_target(content: Mapping[str, Any]) -> dict[str, str]:
    """The key that CEF has for the indicator's type; its whole value is in cs1 in any case."""
    kind, value = content["type"], content["value"]
    inbound = content.get("direction") == "inbound"
    if kind in {"ipv4", "ipv6"} and {"/", "-"} & set(value):
        return {}
    if kind == "ipv4":
        return {"src" if inbound else "dst": value}
    if kind == "ipv6":
        key, side = ("c6a2", "Source") if inbound else ("c6a3", "Destination")
        return {key: value, f"{key}Label": f"{side} IPv6 Address"}
    key = _CEF_KEYS.get(kind, "")
    # Half of an address or a path would be another one.
    return {key: value} if key and len(value) <= _LONGEST.get(key, _DEFAULT_LONGEST) else {}


def _with_own(found: Mapping[str, Any], event: Event, origin: Origin) -> dict[str, str]:
    """The keys as texts, with those that the user set; without those that have nothing to say."""
    texts = {key: _text(value) for key, value in found.items()}
    texts |= {key: _filled(text, event, origin) for key, text in origin.fields.items()}
    return {key: text for key, text in texts.items() if text}


def _filled(template: str, event: Event, origin: Origin) -> str:
    values = {"id": event.id, "event": event.event, "instance": origin.instance, "output": origin.output}
    return template.format(**{name: _text({**event.content, **values}.get(name)) for name in TEXTS})


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _flat(text: str) -> str:
    """One line: what ends a line, or is invisible, becomes a blank."""
    return _CONTROL.sub(" ", text).strip()


def _cef_head(text: str) -> str:
    return _flat(text).replace("\\", "\\\\").replace("|", "\\|")


def _cef_value(text: str) -> str:
    text = text.strip().replace("\\", "\\\\").replace("=", "\\=")
    return _CONTROL.sub(lambda found: "\\n" if _LINE_END & set(found[0]) else " ", text)


def _millis(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _severity(content: Mapping[str, Any]) -> str:
    return str(round(content.get("confidence", 0) / 10))


def _name(event: Event) -> str:
    return _NAMES.get(event.event, _REPEATED)


def _camel(name: str) -> str:
    """Keys of LEEF have no underscore; `value` and `type` say whose they are."""
    first, *rest = {"value": "indicator", "type": "indicator_type"}.get(name, name).split("_")
    return first + "".join(map(str.title, rest))
