"""MISP's tags: taxonomies and galaxies; TLP, confidence and threat type are read out of them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tipline.model import tlp

#: Confidence of MISP's own taxonomy (`misp:confidence-level`), as its consumers read it.
CONFIDENCE_TAGS: Mapping[str, int] = {
    'misp:confidence-level="completely-confident"': 100,
    'misp:confidence-level="usually-confident"': 75,
    'misp:confidence-level="fairly-confident"': 50,
    'misp:confidence-level="rarely-confident"': 25,
    'misp:confidence-level="unconfident"': 0,
}
_THREAT_TYPE = "sentinel-threattype:"


class Tag(NamedTuple):
    """One tag: its name, whether it came down from the event, whether it is local to the server."""

    name: str
    inherited: bool
    local: bool


def truth(value: Any) -> bool:
    """MISP's yes in any of its spellings: true, 1, "1", "true"."""
    if value is False or value is None:
        return False
    return value is True or str(value).strip().lower() in ("1", "true")


def entries(holder: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects in a list of the holder; empty if there is no such list."""
    found = holder.get(name)
    if isinstance(found, Mapping):
        return [found]
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def tags_of(holder: Mapping[str, Any]) -> tuple[Tag, ...]:
    """Tags of an event, an attribute or an object, galaxy clusters among them, in their order."""
    found = [
        Tag(entry["name"].strip(), truth(entry.get("inherited")), truth(entry.get("local")))
        for entry in entries(holder, "Tag")
        if isinstance(entry.get("name"), str)
    ]
    for galaxy in entries(holder, "Galaxy"):
        for cluster in entries(galaxy, "GalaxyCluster"):
            name = cluster.get("tag_name")
            if isinstance(name, str):
                found.append(Tag(name.strip(), inherited=False, local=truth(cluster.get("local"))))
    return tuple(found)


def fingerprint(holder: Mapping[str, Any]) -> Hashable:
    """What decides `tags_of`, made cheaply; the same for the same tags."""
    found = holder.get("Tag")
    if holder.get("Galaxy"):
        return tags_of(holder)
    if not found:
        return ()
    try:
        key = tuple([(tag["name"], tag.get("inherited"), tag.get("local")) for tag in found])
        hash(key)
    except (TypeError, KeyError, AttributeError):
        return tags_of(holder)
    return key


@dataclass(frozen=True)
class Said:
    """What tags say, as cells of a raw frame."""

    tags: str | None = None
    tlp: str | None = None
    confidence: str | None = None
    threat_types: str | None = None


def _json(names: Iterable[str]) -> str | None:
    distinct = list(dict.fromkeys(names))
    return json.dumps(distinct) if distinct else None


def read_tags(own: Iterable[Tag], above: Iterable[Tag], confidence: Mapping[str, int], *, local: bool) -> Said:
    """Read the tags of an attribute.

    An attribute's own TLP or confidence stands before its event's. Of several on one level the strictest
    TLP and the lowest confidence count.

    Args:
        own: tags of the attribute; inherited ones count as the event's.
        above: tags of its object and event.
        confidence: tag (lower case) to confidence.
        local: whether local tags count.
    """
    kept = [tag for tag in (*own, *above) if tag.name and (local or not tag.local)]
    nearest = {tag.name for tag in own if not tag.inherited}
    levels = {tag.name: tlp.level(tag.name) for tag in kept if tag.name.lower().startswith("tlp")}
    scores = {tag.name: confidence.get(tag.name.lower()) for tag in kept}
    types = [tag.name[len(_THREAT_TYPE) :].strip('"') for tag in kept if tag.name.lower().startswith(_THREAT_TYPE)]
    level = _of_nearest(levels, nearest, max)
    score = _of_nearest(scores, nearest, min)
    return Said(
        tags=_json(tag.name for tag in kept if levels.get(tag.name) is None),
        tlp=None if level is None else tlp.name(level),
        confidence=None if score is None else str(score),
        threat_types=_json(types),
    )


def _of_nearest(found: Mapping[str, int | None], nearest: set[str], choose: Any) -> int | None:
    """The chosen one of the attribute's own numbers, else of those above."""
    own = [number for name, number in found.items() if number is not None and name in nearest]
    known = own or [number for number in found.values() if number is not None]
    return int(choose(known)) if known else None
