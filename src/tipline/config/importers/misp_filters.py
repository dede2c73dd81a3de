"""Filters of MISP's search, as PyMISP takes them, as settings of the source kind `misp`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tipline.config.importers.misp_never import never
from tipline.config.importers.pyconfig import Unknown, Variable
from tipline.config.importers.report import Outcome

Say = Callable[[str, Outcome, str], None]
# PyMISP's names of parameters that the search calls otherwise.
_SEARCH_NAMES = {
    "type_attribute": "type", "date_from": "from", "date_to": "to", "quick_filter": "searchall",
    "quickfilter": "searchall", "sg_reference_only": "sgReferenceOnly", "event_info": "eventinfo",
}  # fmt: skip
# Parameters that tipline's own search sets, or has no use for.
_OURS = {
    "controller", "return_format", "returnFormat", "limit", "page", "pythonify", "metadata", "includeEventTags",
    "include_event_tags", "includeEventUuid", "include_event_uuid", "includeContext", "include_context",
    "with_attachments", "withAttachments", "include_correlations", "includeCorrelations", "include_sightings",
    "includeSightings", "deleted", "order",
}  # fmt: skip
WINDOWS = ("publish_timestamp", "timestamp", "last")
_AGE = re.compile(r"\s*(\d+)\s*([dhms])\s*", re.IGNORECASE)
# An age whose unit MISP does not know: it reads that as a moment to come, and finds nothing.
_NO_AGE = re.compile(r"\s*\d+\s*[a-ce-gi-ln-rt-z]\s*", re.IGNORECASE)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def age_in_days(value: Any) -> int | None:
    """Whole days, rounded up, of an age such as `14d`; None for anything else."""
    match = _AGE.fullmatch(value) if isinstance(value, str) else None
    return None if match is None else -(-int(match[1]) * _SECONDS[match[2].lower()] // 86400)


def translate(filters: Any, say: Say, *, windows: bool) -> dict[str, Any]:
    """Settings of a source for a script's filters.

    Args:
        filters: what the script passes to PyMISP's `search`.
        say: takes what became of each.
        windows: whether ages of the search choose the set; else they only said how far a run looks back.
    """
    if not isinstance(filters, Mapping):
        if filters is not None:
            say("misp_event_filters", "lost", "only running the file could tell: add the filters to the source")
        return {"published": False}
    made: dict[str, Any] = {}
    for key, value in filters.items():
        name = str(key)
        if value in ("", None, [], {}):
            say(f"misp_event_filters.{name}", "kept", "empty: no demand")
        elif _has_unknown(value):
            say(f"misp_event_filters.{name}", "lost", "only running the file could tell: add it to the source")
        else:
            _one(name, value, made, partial(say, f"misp_event_filters.{name}"), windows=windows)
    if "published" not in filters:
        made["published"] = False
        say("misp_event_filters", "kept", "it does not say `published`: unpublished events are taken, too")
    for name, why in never(made):
        say(f"misp_event_filters.{name}", "changed", why)
    return made


def _has_unknown(value: Any) -> bool:
    if isinstance(value, Unknown | Variable):
        return True
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(_has_unknown(part) for part in parts)


def _one(name: str, value: Any, made: dict[str, Any], say: Callable[[Outcome, str], None], *, windows: bool) -> None:
    if name in _OURS:
        say("kept", "tipline asks for what it needs, page by page, and heeds deletions")
    elif name == "published":
        made["published"] = _true(value)
        if not made["published"]:
            made.setdefault("search", {})["published"] = 0
        say("kept", "published events only" if made["published"] else "unpublished events only, as MISP reads it")
    elif name == "tags":
        made["event_tags"] = rules(value)
        say("translated", "event_tags: whole names, in any case; * is free")
    elif name == "org":
        found = rules(value)
        made["organisations"] = {key: words for key, words in found.items() if key != "all"}
        say("translated", "organisations")
    elif name in {"enforceWarninglist", "enforce_warninglist"}:
        made["enforce_warninglists"] = _true(value)
        say("kept", "enforce_warninglists: the server's own lists; tipline's are under warning_lists")
    elif name == "to_ids":
        made["to_ids"] = _true(value)
        say("kept", "to_ids")
    elif name in WINDOWS:
        _window(name, value, made, say, chooses=windows)
    else:
        _searched(name, value, made, say)


def _window(name: str, value: Any, made: dict[str, Any], say: Callable[[Outcome, str], None], *, chooses: bool) -> None:
    if isinstance(value, str) and _NO_AGE.fullmatch(value):
        say("changed", f"MISP cannot read the time {value!r}, and gave the script nothing; here it is left out")
    elif not chooses:
        say("translated", "it said how far back a run looks; tipline reads everything once, then what changed")
    elif name == "timestamp" and age_in_days(value):
        made["max_age"] = str(value).replace(" ", "")
        say("translated", "max_age: events leave as they grow older")
    else:
        _searched(name, value, made, say)


def _searched(name: str, value: Any, made: dict[str, Any], say: Callable[[Outcome, str], None]) -> None:
    made.setdefault("search", {})[_SEARCH_NAMES.get(name, name)] = value
    say("kept", f"search.{_SEARCH_NAMES.get(name, name)}")


def rules(value: Any) -> dict[str, list[str]]:
    """Words of MISP's search (a list, `!not`, `a&&b`, or OR/AND/NOT) as a rule."""
    found: dict[str, list[str]] = {"any": [], "all": [], "none": []}
    if isinstance(value, Mapping):
        for key, words in value.items():
            into = {"or": "any", "and": "all", "not": "none"}.get(str(key).lower())
            if into:
                found[into] += [_free(word) for word in (words if isinstance(words, list) else [words])]
    else:
        for word in value if isinstance(value, list) else re.split(r"&&|\|\|", str(value)):
            text = str(word).strip()
            into = "none" if text.startswith("!") else "all" if isinstance(value, str) and "&&" in value else "any"
            found[into].append(_free(text.removeprefix("!")))
    return {key: words for key, words in found.items() if words}


def _free(word: Any) -> str:
    return str(word).strip().replace("%", "*")


def _true(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_true, value))
    return value is True or str(value).strip().lower() in {"1", "true", "yes"}
