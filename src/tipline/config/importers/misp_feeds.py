"""MISP's feed list (export of the Feeds page, `GET feeds/index`, `defaults.json`) as tipline's sources."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tipline.config.importers.report import Imported, Outcome, unused
from tipline.errors import FormatError
from tipline.formats.misp_events import text
from tipline.formats.misp_tags import truth
from tipline.formats.pcre import comment_prefix, plain
from tipline.model import tlp

_DISTRIBUTIONS = {"0": "team", "1": "server", "2": "all", "3": "all"}
_SECRET = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
#: Fields of a feed that ask for something which is always so here, or which there is not.
_OTHERS: dict[str, tuple[Outcome, str]] = {
    "caching_enabled": ("kept", "every feed is searched and compared with the others (tipline lookup, overlap)"),
    "lookup_visible": ("translated", "who may look a feed up is said by team and distribution"),
    "orgc_id": ("lost", "indicators have their source; there is no organisation that made them"),
    "tag_collection_id": ("lost", "the list does not say what is in a tag collection: add its tags to tags"),
    "force_to_ids": ("kept", "MISP itself does nothing with it"),
    "settings.disable_correlation": ("kept", "nothing is correlated unless somebody looks"),
}
_HELD_BACK = {"commit", "misp-version", "misp-uuid", "user-agent"}


def import_feeds(body: str, where: str = "feeds") -> Imported:
    """Translate a feed list.

    Args:
        body: JSON: a list of feeds, each bare or within `Feed` beside its `Tag`.
        where: name for messages.

    Raises:
        FormatError: it is not that.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}", where=where, fix="export the feeds from MISP again") from error
    if isinstance(document, Mapping):
        document = document.get("response", document.get("feeds", [document]))
    if not isinstance(document, list) or not all(isinstance(entry, Mapping) for entry in document):
        raise FormatError(
            "this is no list of feeds",
            where=where,
            fix="it is what MISP's Feeds page exports, or feeds/index gives",
        )
    made = Imported()
    for entry in document:
        inner = entry.get("Feed", entry)
        if isinstance(inner, Mapping) and inner.get("url"):
            _Feed(made, inner, entry.get("Tag")).translate()
    return made


@dataclass
class _Feed:
    """One feed on its way."""

    made: Imported
    feed: Mapping[str, Any]
    tag: Any
    name: str = ""
    source: dict[str, Any] = field(default_factory=dict)

    def translate(self) -> None:
        self.name = unused(text(self.feed.get("name")) or text(self.feed.get("provider")), self.made.sources)
        settings = _object(self.feed.get("settings"))
        form = text(self.feed.get("source_format")) or "freetext"
        self.source["kind"] = {"misp": "misp-feed", "csv": "csv"}.get(form, "freetext")
        self.source["url"] = text(self.feed.get("url"))
        self.source["note"] = f"{text(self.feed.get('name'))} ({text(self.feed.get('provider'))}), from MISP"
        self._place()
        if "enabled" in self.feed and not truth(self.feed["enabled"]):
            self.source["enabled"] = False
        self._headers()
        self._tags()
        self._distribution()
        if form == "misp":
            self._rules(_object(self.feed.get("rules")), settings)
        else:
            self._text(form, settings)
        self._others(settings)
        self.made.sources[self.name] = self.source

    def _say(self, setting: str, outcome: Outcome, sentence: str) -> None:
        self.made.say(self.name, setting, outcome, sentence)

    def _place(self) -> None:
        if text(self.feed.get("input_source")) == "local":
            sentence = f"{self.source['url']} is a path on MISP's machine: mount or copy it, and correct url"
            self._say("input_source", "changed", sentence)
            if truth(self.feed.get("delete_local_file")):
                self._say("delete_local_file", "lost", "a file stays where it is; what was read is not read again")

    def _others(self, settings: Mapping[str, Any]) -> None:
        """What MISP does with a feed beside fetching it."""
        for name, (outcome, sentence) in _OTHERS.items():
            holder = settings if name.startswith("settings.") else self.feed
            value = holder.get(name.removeprefix("settings."))
            if text(value) not in ("", "0") and (truth(value) or text(value).isdigit()):
                self._say(name, outcome, sentence)

    def _headers(self) -> None:
        for line in text(self.feed.get("headers")).splitlines():
            name, colon, value = (part.strip() for part in line.partition(":"))
            if not colon or name.lower() in _HELD_BACK:
                continue
            if name.lower() == "authorization" and self._basic(value):
                continue
            if _SECRET.search(name):
                value = self._secret(name, value)
            self.source.setdefault("headers", {})[name] = value

    def _basic(self, value: str) -> bool:
        scheme, _, code = value.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, colon, password = base64.b64decode(code, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        if colon:
            self.source["basic"] = {"username": user, "password": self._secret("password", password)}
        return bool(colon)

    def _secret(self, name: str, value: str) -> str:
        variable = re.sub(r"\W+", "_", f"{self.name}_{name}").upper()
        self.made.secrets[variable] = value
        self._say("headers", "translated", f"{name} is read from the environment variable {variable}")
        return f"${{env:{variable}}}"

    def _tags(self) -> None:
        found = self.tag if isinstance(self.tag, list) else [self.tag]
        for name in (text(tag.get("name")) for tag in found if isinstance(tag, Mapping)):
            level = tlp.level(name) if name.lower().startswith("tlp") else None
            if level is not None:
                self.source["tlp"] = tlp.name(level)
            elif name:
                self.source.setdefault("tags", []).append(name)
        if not isinstance(self.tag, Mapping | list) and text(self.feed.get("tag_id")) not in ("", "0"):
            self._say("tag_id", "lost", f"the list does not say what tag {self.feed['tag_id']} is: add it to tags")

    def _distribution(self) -> None:
        level = text(self.feed.get("distribution"))
        if level in _DISTRIBUTIONS:
            self.source["distribution"] = _DISTRIBUTIONS[level]
            self._say("distribution", "translated", f"{level} became {_DISTRIBUTIONS[level]}")
        elif level == "4":
            self._say("distribution", "lost", "sharing groups do not exist: the team alone may use the source")
        elif level == "5":
            self._say("distribution", "lost", "the events' own is not looked at: the team alone may use the source")

    def _rules(self, rules: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        for ours, theirs in (("event_tags", "tags"), ("organisations", "orgs")):
            rule = _object(rules.get(theirs))
            found = {"any": rule.get("OR") or [], "none": rule.get("NOT") or []}
            if any(found.values()):
                self.source[ours] = {name: words for name, words in found.items() if words}
                self._say("rules", "translated", f"{theirs}: now the whole name is compared, in any case; * is free")
        parameters = _object(rules.get("url_params"))
        if "timestamp" in parameters:
            age = text(parameters["timestamp"]).strip()
            if re.fullmatch(r"\d+[dhms]", age):
                self.source["max_age"] = age
            else:
                self._say("rules", "lost", f"timestamp: {age!r} is no age such as 30d")
        if "publish_timestamp" in parameters:
            self._say("rules", "lost", "publish_timestamp: a feed's manifest does not hold it; use max_age")
        if truth(settings.get("unpublish_event")):
            self._say("settings.unpublish_event", "later", "there are no events of feeds yet")
        self._say("attributes", "changed", "what is gone from an event is withdrawn; MISP kept it")

    def _text(self, form: str, settings: Mapping[str, Any]) -> None:
        exclude = text(_object(settings.get("common")).get("excluderegex"))
        if form == "csv":
            self._csv(_object(settings.get("csv")))
        if exclude:
            self._exclude(exclude)
        if truth(self.feed.get("override_ids")):
            self.source["actionable"] = False
            self._say("override_ids", "translated", "actionable: false, so that nothing is blocked by it")
        fixed, delta = truth(self.feed.get("fixed_event")), truth(self.feed.get("delta_merge"))
        if not (fixed and delta):
            self.source.update(mode="append", expire="never")
            self._say(
                "delta_merge",
                "translated",
                "off: mode append, expire never; snapshot would withdraw what left",
            )
        event = {
            **({} if fixed else {"fixed": False}),
            **({"publish": True} if truth(self.feed.get("publish")) else {}),
        }
        if event:
            self.source["event"] = event
        self._say("fixed_event", "later", "kept as event.fixed: there are no events of feeds yet")
        if "publish" in event:
            self._say("publish", "later", "kept as event.publish: there are no events of feeds yet")

    def _csv(self, csv: Mapping[str, Any]) -> None:
        columns = [int(part) for part in re.findall(r"\d+", text(csv.get("value")))]
        self.source["header"] = False
        self.source["columns"] = {"value": columns[0] if len(columns) == 1 else columns or 1}
        if not columns:
            self._say("settings.csv.value", "lost", "MISP took every column; now the first: correct columns")
        delimiter = csv.get("delimiter") or ","
        if delimiter != ",":
            self.source["delimiter"] = {"\\t": "tab", "\t": "tab", " ": "space"}.get(delimiter, delimiter)

    def _exclude(self, exclude: str) -> None:
        expression = plain(exclude)
        if expression is None:
            sentence = f"{exclude!r} is no regular expression without look-around: add one to ignore"
            self._say("settings.excluderegex", "lost", sentence)
        elif self.source["kind"] == "csv" and comment_prefix(expression) is not None:
            self._say("settings.excluderegex", "translated", "such lines are comments, which are skipped anyway")
        else:
            self.source["ignore"] = [expression]
            self._say("settings.excluderegex", "translated", "ignore: values in which it is found are skipped")


def _object(value: Any) -> Mapping[str, Any]:
    """An object, also where MISP wrote it as JSON in a string (once or twice)."""
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}
