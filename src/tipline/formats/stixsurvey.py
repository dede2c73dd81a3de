"""What has to be known of all objects before the first can be told: versions, names, markings, relationships.

A bundle of a gigabyte holds millions of objects, so that ids are kept as 64-bit hashes in arrays.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from tipline.model import tlp

Object = Mapping[str, Any]

#: Objects with versions that give rows, and those whose names become tags.
VERSIONED = ("indicator", "observed-data")
_NAMED = ("malware", "threat-actor", "intrusion-set", "campaign", "attack-pattern", "tool", "infrastructure")
#: Objects that give no rows, and are read for what they say of others or carry with them.
CONTEXT = frozenset((*_NAMED, "identity", "marking-definition", "relationship", "extension-definition"))
_TLP_2 = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"

_level = lru_cache(maxsize=1024)(tlp.level)


def text(value: Any) -> str | None:
    """A value if it is text, and not empty."""
    return value if isinstance(value, str) and value else None


def texts(value: Any) -> list[str]:
    """The texts of a list."""
    return [item for item in value if isinstance(item, str) and item] if isinstance(value, list) else []


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def version(item: Object) -> str:
    """The time of a version, so that later is greater, however many digits its fraction has."""
    moment = text(item.get("modified")) or text(item.get("created")) or ""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return f"{whole}.{fraction.rstrip('0')}"


class Survey:
    """Gathers objects in their order; `close` when all were seen."""

    def __init__(self) -> None:
        self.repeated: set[int] = set()
        self._names: dict[int, tuple[str, list[str]]] = {}
        self._levels: dict[str, int] = {}
        self._ids = array("q")
        self._sources = array("q")
        self._targets = array("q")
        self._best: dict[int, tuple[str, bool]] = {}

    def add(self, item: Object) -> None:
        """Note one object."""
        kind = item.get("type")
        if kind in VERSIONED:
            self._ids.append(hash(item.get("id")) if isinstance(item.get("id"), str) else 0)
        elif kind == "relationship":
            self._relate(item)
        elif kind == "marking-definition":
            self._mark(item)
        elif kind in _NAMED:
            self._name(item)

    def _relate(self, item: Object) -> None:
        source, target = text(item.get("source_ref")), text(item.get("target_ref"))
        if source and target and item.get("relationship_type") == "indicates" and item.get("revoked") is not True:
            self._sources.append(hash(source))
            self._targets.append(hash(target))

    def _mark(self, item: Object) -> None:
        identity = text(item.get("id"))
        definition, extensions = item.get("definition"), item.get("extensions")
        extension = extensions.get(_TLP_2) if isinstance(extensions, dict) else None
        words = [
            definition.get("tlp") if isinstance(definition, dict) else None,
            extension.get("tlp_2_0") if isinstance(extension, dict) else None,
            item.get("name"),
        ]
        levels = [level for word in words if (found := text(word)) and (level := _level(found)) is not None]
        if identity and levels:
            self._levels[identity] = max(levels)

    def _name(self, item: Object) -> None:
        identity, name = text(item.get("id")), text(item.get("name"))
        if identity is None or name is None or item.get("revoked") is True:
            return
        tags = [name]
        for reference in objects(item.get("external_references")):
            number = text(reference.get("external_id"))
            if number and (text(reference.get("source_name")) or "").startswith("mitre"):
                tags.append(number)
        known, now = self._names.get(hash(identity)), version(item)
        if known is None or known[0] <= now:
            self._names[hash(identity)] = (now, tags)

    def close(self) -> None:
        """Sort what was gathered; where `repeated` is not empty, `weigh` wants every object once more."""
        ids = np.sort(np.frombuffer(self._ids, np.int64)) if self._ids else np.empty(0, np.int64)
        self.repeated = set(ids[1:][ids[1:] == ids[:-1]].tolist()) - {0}
        self._ids = array("q")
        if self._sources:
            sources, targets = (np.frombuffer(each, np.int64) for each in (self._sources, self._targets))
            named = np.isin(targets, np.fromiter(self._names, np.int64, len(self._names)))
            order = np.argsort(sources[named], kind="stable")
            self._sources = array("q", sources[named][order].tobytes())
            self._targets = array("q", targets[named][order].tobytes())

    def weigh(self, item: Object) -> None:
        """Choose among the versions of an object: the latest, and of equal ones the revoked."""
        identity = item.get("id")
        if item.get("type") in VERSIONED and isinstance(identity, str) and hash(identity) in self.repeated:
            mine = (version(item), item.get("revoked") is True)
            self._best[hash(identity)] = max(mine, self._best.get(hash(identity), mine))

    def is_superseded(self, item: Object) -> bool:
        """Whether there is a later version; objects that share an id and a time by mistake all stay."""
        identity = item.get("id")
        if not self._best or not isinstance(identity, str) or item.get("type") not in VERSIONED:
            return False
        best = self._best.get(hash(identity))
        return best is not None and (version(item), item.get("revoked") is True) < best

    def named_by(self, identity: str) -> Iterator[str]:
        """Names of what an indicator indicates."""
        key = hash(identity)
        at = bisect_left(self._sources, key)
        while at < len(self._sources) and self._sources[at] == key:
            yield from self._names[self._targets[at]][1]
            at += 1

    def level(self, item: Object) -> int | None:
        """The most restrictive TLP among an object's markings, those of single properties among them."""
        refs = texts(item.get("object_marking_refs"))
        if "granular_markings" in item:
            refs += [ref for each in objects(item["granular_markings"]) if (ref := text(each.get("marking_ref")))]
        levels = [level for ref in refs if (level := self._levels.get(ref, _level(ref))) is not None]
        return max(levels, default=None)
