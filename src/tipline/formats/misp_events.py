"""A MISP event to raw rows: attributes and object attributes, one row for each of their parts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from tipline.formats.misp_tags import (
    CONFIDENCE_TAGS,
    Said,
    Tag,
    entries,
    fingerprint,
    read_tags,
    tags_of,
    truth,
)
from tipline.formats.misp_types import REFERENCE, REFUSED, SPLITTERS

#: Columns of the raw frames.
COLUMNS = (
    "value", "type", "record", "confidence", "actionable", "tlp", "threat_types", "tags", "description",
    "references", "first_seen", "last_seen", "extra", "drop",
)  # fmt: skip

_THREAT_LEVELS = {"1": "high", "2": "medium", "3": "low"}
_ANALYSIS = {"0": "initial", "1": "ongoing", "2": "completed"}
_INHERIT = "5"
_MOST_REFERENCES = 100
BATCH_ROWS = 20_000

Row = tuple[str | None, ...]


def text(value: Any) -> str:
    """A value as text: MISP writes numbers as numbers or as strings, and null for what is not there."""
    if type(value) is str:
        return value
    return "" if value is None or isinstance(value, dict | list) else str(value)


def moment(value: Any) -> str | None:
    """A time's text; None for none (MISP writes 0 for never)."""
    if value is None:
        return None
    found = text(value).strip()
    return None if found in ("", "0") else found


@dataclass(frozen=True)
class Surroundings:
    """What an attribute inherits from its event, and from its object if it has one.

    Attributes:
        event: uuid, or empty.
        info: what the event (and object) is about.
        tags: of the object and the event.
        links: references of the object and the event.
        references: the same as JSON, or None.
        first_seen: text of the time, or None.
        last_seen: text of the time, or None.
        distribution: MISP's number, or empty.
        about: what goes into `extra`, as a JSON object without its closing brace.
        deleted: whether all that is within is deleted.
    """

    event: str
    info: str
    tags: tuple[Tag, ...]
    links: tuple[str, ...]
    references: str | None
    first_seen: str | None
    last_seen: str | None
    distribution: str
    about: str
    deleted: bool = False


@dataclass
class Rows:
    """Raw rows of events, to be taken as frames. Events are used up: their attributes are taken out.

    Attributes:
        confidence: tag (lower case) to confidence, besides those of MISP's taxonomy.
        local_tags: whether tags count that are local to the server they come from.
    """

    confidence: Mapping[str, int] = field(default_factory=dict)
    local_tags: bool = True
    _rows: list[Row] = field(default_factory=list)
    _above: tuple[Tag, ...] = ()
    _said: dict[Hashable, Said] = field(default_factory=dict)
    _extras: dict[tuple[str, str, str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Add what MISP's own taxonomy says."""
        self.confidence = {
            **CONFIDENCE_TAGS,
            **{tag.lower(): score for tag, score in self.confidence.items()},
        }

    def __len__(self) -> int:
        return len(self._rows)

    def event(self, event: Mapping[str, Any]) -> Iterator[pl.DataFrame]:
        """Add what an event says (proposals are not part of it), and give full frames as they come about."""
        around = surroundings(event)
        yield from self._add_all(_drained(event), around)
        for thing in entries(event, "Object"):
            yield from self._add_all(_drained(thing), within(thing, around))

    def attributes(self, attributes: list[Mapping[str, Any]]) -> Iterator[pl.DataFrame]:
        """Add attributes that each carry the head of their event (`attributes/restSearch`)."""
        known: dict[str, Surroundings] = {}
        for attribute in attributes:
            event = attribute.get("Event")
            head = dict(event) if isinstance(event, Mapping) else {}
            head.setdefault("uuid", attribute.get("event_uuid"))
            name = text(head["uuid"]) or text(attribute.get("event_id"))
            if name not in known:
                known[name] = surroundings(head)
            yield from self._add_all([attribute], _beside_object(attribute, known[name]))

    def take(self) -> pl.DataFrame:
        """The rows so far as a frame; they are forgotten here."""
        columns = list(zip(*self._rows, strict=True)) or [()] * len(COLUMNS)
        self._rows = []
        return pl.DataFrame([_series(name, cells) for name, cells in zip(COLUMNS, columns, strict=True)])

    def _add_all(self, attributes: Iterable[Mapping[str, Any]], around: Surroundings) -> Iterator[pl.DataFrame]:
        for attribute in attributes:
            self._add(attribute, around)
            if len(self._rows) >= BATCH_ROWS:
                yield self.take()

    def _add(self, attribute: Mapping[str, Any], around: Surroundings) -> None:
        get = attribute.get
        kind, value = text(get("type")).strip(), text(get("value"))
        said = self._read(attribute, around)
        to_ids = get("to_ids")
        drop = "deleted" if around.deleted or truth(get("deleted")) else REFUSED.get(kind)
        split = None if drop else SPLITTERS.get(kind)
        shared = (
            record(attribute, around.event),
            said.confidence,
            None if to_ids is None else str(to_ids),
            said.tlp,
            said.threat_types,
            said.tags,
            _description(text(get("comment")).strip(), around.info),
            around.references,
            moment(get("first_seen")) or around.first_seen,
            moment(get("last_seen")) or around.last_seen or moment(get("timestamp")),
        )
        extra = f"{around.about}{self._extra(attribute, around)}"
        if split is None:
            self._rows.append((value, kind or None, *shared, extra + "}", drop))
            return
        for word, part, beside in split(kind, value):
            also = f", {json.dumps(dict(beside))[1:-1]}" if beside else ""
            self._rows.append((part, word, *shared, f"{extra}{also}}}", None))

    def _read(self, attribute: Mapping[str, Any], around: Surroundings) -> Said:
        if around.tags is not self._above:
            self._above, self._said = around.tags, {}
        key = fingerprint(attribute)
        found = self._said.get(key)
        if found is None:
            found = read_tags(tags_of(attribute), around.tags, self.confidence, local=self.local_tags)
            self._said[key] = found
        return found

    def _extra(self, attribute: Mapping[str, Any], around: Surroundings) -> str:
        """The attribute's own members of `extra`; what repeats is written once."""
        get = attribute.get
        distribution = text(get("distribution"))
        own = (
            text(get("category")),
            around.distribution if distribution in ("", _INHERIT) else distribution,
            text(get("object_relation")),
            text(get("sharing_group_id")),
        )
        found = self._extras.get(own)
        if found is None:
            found = self._extras[own] = _own_extra(own)
        return found


def surroundings(event: Mapping[str, Any]) -> Surroundings:
    """What the attributes of an event inherit from it."""
    info = text(event.get("info")).strip()
    org = event.get("Orgc") or event.get("orgc")
    level, analysis = text(event.get("threat_level_id")), text(event.get("analysis"))
    uuid = text(event.get("uuid")).lower()
    about = {
        "event_info": info,
        "event_id": text(event.get("id")),
        "organisation": text(org.get("name")) if isinstance(org, Mapping) else "",
        "threat_level": _THREAT_LEVELS.get(level, ""),
        "analysis": _ANALYSIS.get(analysis, ""),
    }
    links = _links(entries(event, "Attribute"), ())
    return Surroundings(
        event=uuid,
        info=info,
        tags=tags_of(event),
        links=links,
        references=_as_json(links),
        first_seen=moment(event.get("date")),
        last_seen=None,
        distribution=text(event.get("distribution")),
        about=json.dumps({"event": uuid, **{name: value for name, value in about.items() if value}})[:-1],
    )


def within(thing: Mapping[str, Any], around: Surroundings) -> Surroundings:
    """What the attributes of an object inherit from it and from its event."""
    distribution = text(thing.get("distribution"))
    links = _links(entries(thing, "Attribute"), around.links)
    own = tags_of(thing)
    head = {name: text(thing.get(key)) for name, key in (("object", "name"), ("object_uuid", "uuid"))}
    comment = text(thing.get("comment")).strip()
    return Surroundings(
        event=around.event,
        info=f"{comment} - {around.info}".strip(" -") if comment else around.info,
        tags=(*own, *around.tags) if own else around.tags,
        links=links,
        references=around.references if links is around.links else _as_json(links),
        first_seen=moment(thing.get("first_seen")) or around.first_seen,
        last_seen=moment(thing.get("last_seen")),
        distribution=around.distribution if distribution in ("", _INHERIT) else distribution,
        about=f"{around.about}, {json.dumps(head)[1:-1]}",
        deleted=truth(thing.get("deleted")),
    )


def record(attribute: Mapping[str, Any], event: str | None = None) -> str:
    """`<event uuid>/<attribute uuid>`; an attribute without uuid is known by what it says.

    Args:
        attribute: of an event, or of a search, whose attributes name their event.
        event: uuid of the event.
    """
    uuid = text(attribute.get("uuid")).lower()
    if event is None:
        head = attribute.get("Event")
        named = text(head.get("uuid")) if isinstance(head, Mapping) else ""
        event = (named or text(attribute.get("event_uuid"))).lower()
    if not uuid:
        said = f"{text(attribute.get('type')).strip()}|{text(attribute.get('value'))}"
        uuid = hashlib.md5(said.encode("utf-8", "replace")).hexdigest()
    return f"{event}/{uuid}"


def _beside_object(attribute: Mapping[str, Any], around: Surroundings) -> Surroundings:
    """An attribute of a search carries its object's head, if the server sends it."""
    thing = attribute.get("Object")
    return within(thing, around) if isinstance(thing, Mapping) else around


def _links(attributes: list[Mapping[str, Any]], above: tuple[str, ...]) -> tuple[str, ...]:
    """Links among attributes, each once, then those of above; the very same tuple if there are none."""
    own = [
        text(attribute.get("value")).strip()
        for attribute in attributes
        if attribute.get("type") == REFERENCE and not truth(attribute.get("deleted"))
    ]
    return tuple(link for link in dict.fromkeys((*own, *above)) if link)[:_MOST_REFERENCES] if own else above


def _drained(holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The attributes of an event or object; each is let go before the next, since they may be very many."""
    waiting = entries(holder, "Attribute")
    if isinstance(holder, dict):
        holder["Attribute"] = None
    waiting.reverse()
    while waiting:
        yield waiting.pop()


def _as_json(links: tuple[str, ...]) -> str | None:
    return json.dumps(links) if links else None


def _description(comment: str, info: str) -> str | None:
    if comment and info and comment != info:
        return f"{comment} - {info}"
    return comment or info or None


def _own_extra(own: tuple[str, str, str, str]) -> str:
    """What an attribute itself adds to `extra`: members of a JSON object, each after a comma."""
    category, distribution, relation, group = own
    said: dict[str, str | int] = {
        "category": category,
        "relation": relation,
        "sharing_group": group if group != "0" else "",
        "distribution": int(distribution) if distribution.isdecimal() else "",
    }
    return "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in said.items() if value != "")


def _series(name: str, cells: tuple[str | None, ...]) -> pl.Series:
    """A column of texts; lone surrogates, which JSON can hold and UTF-8 cannot, become question marks."""
    try:
        return pl.Series(name, cells, dtype=pl.String)
    except UnicodeEncodeError:
        clean = [None if cell is None else cell.encode("utf-8", "replace").decode() for cell in cells]
        return pl.Series(name, clean, dtype=pl.String)
