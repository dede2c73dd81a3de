"""Sources as MISP's feed list, which MISP's Feeds page and `tipline import misp-feeds` read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from tipline.config.hidden import PLAIN_HEADERS
from tipline.config.library import by_url
from tipline.durations import format_duration
from tipline.kinds import Kind
from tipline.model import tlp
from tipline.sources.guardrails import mask_url

_FORMATS = {"misp-feed": "misp", "csv": "csv", "lines": "freetext", "freetext": "freetext"}
_DISTRIBUTIONS = {"team": "0", "server": "1", "all": "3"}
_DELIMITERS = {"\t": "\\t"}


@dataclass
class FeedList:
    """MISP's feed list, and what it cannot say.

    Attributes:
        feeds: as MISP exports them: `Feed`, and `Tag` beside it.
        notes: node, and a sentence for people.
    """

    feeds: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)

    def say(self, node: str, sentence: str) -> None:
        """Note something."""
        self.notes.append({"node": node, "sentence": sentence})


def feed_list(sources: Iterable[Kind[Any]]) -> FeedList:
    """Some sources as MISP's feed list; secrets stay here."""
    made = FeedList()
    for source in sources:
        form = _FORMATS.get(source.kind)
        urls = getattr(source.settings, "url", None)
        if not urls:
            continue  # nothing is fetched
        if form is None:
            made.say(source.name, f"left out: MISP has no feeds of kind {source.kind}")
        elif not urls[0].startswith(("http://", "https://")):
            made.say(source.name, "left out: its address is no web address")
        elif form == "csv" and not _columns(source.settings):
            made.say(source.name, "left out: MISP takes numbers of columns, and this feed names them")
        else:
            made.feeds += [_entry(made, source, form, url) for url in urls]
    return made


def _entry(made: FeedList, source: Kind[Any], form: str, url: str) -> dict[str, Any]:
    settings, known = source.settings, by_url(url)
    if mask_url(url) != url:
        made.say(source.name, "the key in its address is left out")
    feed = {
        "name": source.name,
        "provider": known.provider if known else urlsplit(url).hostname or source.name,
        "url": mask_url(url),
        "source_format": form,
        "input_source": "network",
        "enabled": settings.enabled,
        "caching_enabled": True,
        "distribution": _DISTRIBUTIONS[settings.distribution],
        "override_ids": not settings.actionable,
        "headers": _headers(made, source),
        "rules": json.dumps(_rules(settings) if form == "misp" else {}),
        "settings": json.dumps(_settings(settings, form)),
        **_event(settings, form),
    }
    return {"Feed": feed, **_tag(made, source)}


def _event(settings: Any, form: str) -> dict[str, bool]:
    """What MISP makes events of: absence withdraws (delta merge) only in one fixed event."""
    if form == "misp":
        return {"fixed_event": False, "delta_merge": False, "publish": False}
    event, delta = settings.event, settings.mode == "snapshot"
    return {"fixed_event": event.fixed, "delta_merge": delta and event.fixed, "publish": event.publish}


def _settings(settings: Any, form: str) -> dict[str, Any]:
    found: dict[str, Any] = {"disable_correlation": False}
    if form == "misp":
        return found
    common = {"common": {"excluderegex": _expression(list(getattr(settings, "ignore", [])))}}
    if form == "csv":
        csv = {
            "value": ",".join(map(str, _columns(settings))),
            "delimiter": _DELIMITERS.get(settings.delimiter, settings.delimiter),
        }
        return {**found, **common, "csv": csv}
    return {**found, **common}


def _expression(patterns: list[str]) -> str:
    """Regular expressions as one with PCRE's delimiters."""
    if not patterns:
        return ""
    flags = "i" if all(each.startswith("(?i)") for each in patterns) else ""
    bare = [each.removeprefix("(?i)") if flags else each for each in patterns]
    body = bare[0] if len(bare) == 1 else "|".join(f"(?:{each})" for each in bare)
    escaped = re.sub(r"(?<!\\)/", r"\/", body)
    return f"/{escaped}/{flags}"


def _columns(settings: Any) -> list[int]:
    """The numbers of the columns that hold values; empty if one is named."""
    value = settings.columns.value
    found = value if isinstance(value, list) else [value]
    return found if all(isinstance(each, int) for each in found) else []


def _headers(made: FeedList, source: Kind[Any]) -> str:
    settings = source.settings
    plain = {name: value for name, value in settings.headers.items() if name.lower() in PLAIN_HEADERS}
    if len(plain) < len(settings.headers) or settings.basic or settings.bearer or settings.api_key:
        made.say(source.name, "its sign-in is left out: secrets do not leave this server")
    return "\n".join(f"{name}: {value.get_secret_value()}" for name, value in plain.items())


def _rules(settings: Any) -> dict[str, Any]:
    parameters = {"timestamp": _age(settings.max_age)} if settings.max_age else {}
    return {
        "tags": _rule(settings.event_tags),
        "orgs": _rule(settings.organisations),
        "url_params": json.dumps(parameters) if parameters else "",
    }


def _rule(rule: Any) -> Mapping[str, list[str]]:
    return {"OR": list(rule.any), "NOT": list(rule.none)}


def _age(age: timedelta) -> str:
    text = format_duration(age)
    return text if re.fullmatch(r"\d+[dhms]", text) else f"{int(age.total_seconds())}s"


def _tag(made: FeedList, source: Kind[Any]) -> dict[str, Any]:
    """MISP has one tag a feed: the TLP goes before others."""
    settings = source.settings
    level = [] if settings.tlp is None else [f"tlp:{tlp.name(settings.tlp)}"]
    names = [*level, *settings.tags]
    if len(names) > 1:
        made.say(source.name, f"MISP has one tag a feed: {', '.join(names[1:])} left out")
    return {"Tag": {"name": names[0]}} if names else {}
