"""STIX objects to rows of the raw frame: indicators, and observables where they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from tipline.formats.base import BAD_ROW, LIST_ATTRIBUTES, cut
from tipline.formats.stixpaths import HASHES, word_of
from tipline.formats.stixpattern import Found, read_pattern
from tipline.formats.stixsurvey import Object, Survey, objects, text, texts
from tipline.model import tlp

COLUMNS = (
    "value", "type", "drop", "record", "confidence", "actionable", "tlp", "threat_types", "tags",
    "description", "references", "first_seen", "last_seen", "valid_until",
)  # fmt: skip
# Lists are joined to texts and split again by Polars, which takes a third of the time that lists would.
#: Between the items of a list in a cell.
JOIN = "\x1f"
_ABOUT = COLUMNS[3:]
_SPLIT = [pl.col(name).str.split(JOIN) for name in LIST_ATTRIBUTES]
# STIX 2.0 keeps these words among the labels (indicator-label-ov), 2.1 in indicator_types.
_TYPES = frozenset(
    (
        "anomalous-activity",
        "anonymization",
        "attribution",
        "benign",
        "compromised",
        "malicious-activity",
        "unknown",
    )
)
_BAD = frozenset(("anomalous-activity", "compromised", "malicious-activity"))
_TO_IDS = "misp:to_ids="
# Observables of which one property is the value, and those with hashes.
_PROPERTIES = ("value", "key", "path", "command_line", "number", "name")
_OBSERVED = frozenset(
    (
        "ipv4-addr", "ipv6-addr", "domain-name", "url", "email-addr", "file", "directory", "mutex", "process",
        "windows-registry-key", "autonomous-system", "artifact", "x509-certificate",
    )
)  # fmt: skip


class Rows:
    """Rows that become a frame."""

    def __init__(self) -> None:
        self._cells: list[tuple[str | None, ...]] = []

    def __len__(self) -> int:
        return len(self._cells)

    def add(self, found: Found, about: dict[str, Any]) -> None:
        """One value with what is said about it."""
        self._cells.append((found.value, found.word, found.drop, *map(about.get, _ABOUT)))

    def take(self) -> pl.DataFrame:
        """The rows so far; begins anew."""
        columns = dict(zip(COLUMNS, zip(*self._cells, strict=True), strict=True))
        frame = pl.DataFrame(columns, schema=dict.fromkeys(COLUMNS, pl.String))
        self._cells = []
        return frame.with_columns(_SPLIT)

    def unreadable(self, value: str) -> None:
        """An element that is no object."""
        self.add(Found(None, value, BAD_ROW), {})


def add_indicator(rows: Rows, item: Object, survey: Survey) -> None:
    """The rows of one indicator: at least one."""
    record, pattern = text(item.get("id")) or "", text(item.get("pattern"))
    shown = cut(pattern or record or "an indicator")
    reason = _refusal(item, pattern, survey)
    if reason is not None or pattern is None:
        rows.add(Found(None, shown, reason), {"record": record})
        return
    about = _about(item, record, survey)
    for found in read_pattern(pattern):
        rows.add(found, about)


def _taken_back(item: Object, survey: Survey) -> str | None:
    if survey.is_superseded(item):
        return "superseded"
    return "revoked" if item.get("revoked") is True else None


def _refusal(item: Object, pattern: str | None, survey: Survey) -> str | None:
    reason = _taken_back(item, survey)
    if reason is not None:
        return reason
    language = item.get("pattern_type")
    if language is not None and str(language).lower() not in ("stix", "stix2", ""):
        return "unsupported-pattern"
    return "bad-pattern" if pattern is None else None


def _about(item: Object, record: str, survey: Survey) -> dict[str, Any]:
    """What an indicator says about its values."""
    labels = texts(item.get("labels"))
    types = texts(item.get("indicator_types")) or [label for label in labels if label in _TYPES]
    tags = [label for label in labels if label not in _TYPES and not label.startswith(_TO_IDS)]
    tags += [
        f"{chain}:{phase}"
        for each in objects(item.get("kill_chain_phases"))
        if (chain := text(each.get("kill_chain_name"))) and (phase := text(each.get("phase_name")))
    ]
    tags += survey.named_by(record)
    return {
        "record": record,
        "confidence": _number(item.get("confidence")),
        "actionable": _actionable(types, labels),
        "tlp": _tlp(item, labels, survey),
        "threat_types": JOIN.join(types) or None,
        "tags": JOIN.join(tags) or None,
        "description": _description(item),
        "references": _references(item),
        "first_seen": text(item.get("valid_from")) or text(item.get("created")),
        "valid_until": text(item.get("valid_until")),
    }


def _number(value: Any) -> str | None:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _actionable(types: list[str], labels: list[str]) -> str | None:
    """No for what is only benign, and for what MISP exported without `to_ids`; else unsaid."""
    for label in labels:
        if label.startswith(_TO_IDS):
            return label[len(_TO_IDS) :]
    return "false" if "benign" in types and not _BAD.intersection(types) else None


def _tlp(item: Object, labels: list[str], survey: Survey) -> str | None:
    said = [level for label in labels if label[:4].lower() == "tlp:" and (level := tlp.level(label)) is not None]
    level = survey.level(item)
    levels = said if level is None else [*said, level]
    return tlp.name(max(levels)) if levels else None


def _description(item: Object) -> str | None:
    name, description = text(item.get("name")), text(item.get("description"))
    if name is None or description is None:
        return name or description
    return description if name in description or name in str(item.get("pattern")) else f"{name}: {description}"


def _references(item: Object) -> str | None:
    found = [
        said
        for each in objects(item.get("external_references"))
        if (said := text(each.get("url")) or text(each.get("external_id")))
    ]
    return JOIN.join(found) or None


def add_observables(rows: Rows, item: Object, survey: Survey) -> None:
    """The rows of one observable object, or of the objects within observed data (STIX 2.0); perhaps none.

    That something was seen does not make it bad, so that none of them is actionable.
    """
    record = text(item.get("id")) or ""
    embedded = item.get("objects")
    if item.get("type") != "observed-data":
        inner: list[Any] = [item]
    else:
        inner = list(embedded.values()) if isinstance(embedded, dict) else []
    found = [each for one in inner if isinstance(one, dict) for each in _values(one)]
    if not found:
        return
    reason = _taken_back(item, survey)
    if reason is not None:
        rows.add(Found(None, found[0].value, reason), {"record": record})
        return
    about = _about(item, record, survey) | {
        "actionable": "false",
        "first_seen": text(item.get("first_observed")) or text(item.get("created")),
        "last_seen": text(item.get("last_observed")),
        "description": None,
    }
    for each in found:
        rows.add(each, about)


def _values(item: dict[str, Any]) -> Iterator[Found]:
    """The values of one observable; a file's hashes rather than its name."""
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in _OBSERVED:
        return
    hashes = item.get("hashes")
    told = False
    for algorithm, value in hashes.items() if isinstance(hashes, dict) else ():
        word = word_of(kind, ("hashes", algorithm))
        if word is not None and isinstance(value, str):
            told = told or word in HASHES
            yield Found(word, value)
    for name in () if told else _PROPERTIES:
        value, word = item.get(name), word_of(kind, (name,))
        if word is not None and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            yield Found(word, str(value))


def is_observable(kind: Any) -> bool:
    """Whether objects of a type hold observables."""
    return kind == "observed-data" or (isinstance(kind, str) and kind in _OBSERVED)
