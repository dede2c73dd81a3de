"""The stix1 format: indicators and observables of STIX 1.0 to 1.2 (CybOX 2) in packages, alone or in other XML.

Documents are read twice: first for what is referred to and what others say of it, then for the rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.formats.base import Context, cut
from tipline.formats.stix1cybox import Element, name_of, text_of
from tipline.formats.stix1stream import BLOCK, Item, Items, Package, level_of
from tipline.formats.stix1tree import Composites, Evaluation, Node, indicator_tree, object_tree, observable_tree
from tipline.formats.stixobjects import JOIN, Rows
from tipline.formats.stixpattern import Found
from tipline.model import tlp

__all__ = ["Reading", "Stix1Settings", "read"]

# The children of an element by name.
Parts = Mapping[str, list[Element]]
_BATCH = 20_000
_DESCRIPTION = 2_000


class Stix1Settings(BaseModel):
    """How STIX 1 is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    observables: bool = Field(
        default=True,
        description="Take observables too: many feeds hold nothing else. Those beside indicators are not actionable.",
    )
    composites: Composites = Field(
        default="drop",
        description="What to do with a condition on several things that must all hold: drop, as no value of it is"
        " bad by itself; take each value, as MineMeld did.",
    )


@dataclass
class _Seen:
    """What the first look found: who is referred to, by indicators and by observables, and packages with indicators."""

    parts: set[str]
    refs: set[str]
    ids: array[int]
    with_indicators: set[tuple[int, int]]


class Reading:
    """Documents that belong together: files of one feed, or answers of one server.

    Args:
        settings: of the source.
        ctx: feed's name, and where warnings go.
        required: whether each document must hold some STIX 1.

    Attributes:
        items: how many indicators and observables they hold, and blocks of other content.
    """

    def __init__(self, settings: Stix1Settings, ctx: Context, *, required: bool = True) -> None:
        self.items = 0
        self._required = required
        self._settings = settings
        self._ctx = ctx
        self._paths: list[Path] = []
        self._seen = _Seen(set(), set(), array("q"), set())
        self._known: dict[str, Node] = {}
        self._names: dict[str, list[str]] = {}
        self._newest: dict[str, str] = {}

    def add(self, path: Path) -> int:
        """Look through a document, which must stay until the frames are read; returns the number of its items.

        Raises:
            FormatError: not XML, XML with a document type, or no STIX 1.
        """
        count = 0
        for item in Items(path, self._ctx, self._required):
            if item.kind == "TTP":
                if identity := item.element.get("id"):
                    self._names[identity] = _titles(item.element)
                continue
            count += 1
            if item.kind == BLOCK:
                continue
            identity = item.element.get("id")
            self._seen.ids.append(hash(identity) if identity else 0)
            if item.kind == "Indicator":
                self._seen.with_indicators.add((len(self._paths), item.package.number))
                self._seen.parts.update(_refs(item.element))
            else:
                self._seen.refs.update(_refs(item.element))
        self.items += count
        self._paths.append(path)
        return count

    def frames(self) -> Iterator[pl.DataFrame]:
        """Raw frames of all documents, about 20,000 rows each; a record is the id of an indicator or observable.

        Every item gives a row at least, but observables that an indicator refers to: they are part of it.
        """
        self._resolve()
        evaluation = Evaluation(self._known, self._settings.composites)
        rows = Rows()
        for number, path in enumerate(self._paths):
            for item in Items(path, self._ctx, self._required):
                self._add(rows, item, number, evaluation)
                if len(rows) >= _BATCH:
                    yield rows.take()
        if len(rows):
            yield rows.take()

    def _resolve(self) -> None:
        """Keep what is referred to, and the newest version of what comes more than once."""
        ids = np.sort(np.frombuffer(self._seen.ids, np.int64)) if self._seen.ids else np.empty(0, np.int64)
        repeated = set(ids[1:][ids[1:] == ids[:-1]].tolist()) - {0}
        self._seen.refs |= self._seen.parts
        if not self._seen.refs and not repeated:
            return
        for path in self._paths:
            for item in Items(path, self._ctx, self._required):
                self._keep(item, repeated)

    def _keep(self, item: Item, repeated: set[int]) -> None:
        if item.kind in ("TTP", BLOCK):
            return
        identity = item.element.get("id") or ""
        if identity and hash(identity) in repeated:
            self._newest[identity] = max(_version(item.element), self._newest.get(identity, ""))
        for each in item.element.iter("{*}Observable", "{*}Object", "{*}Related_Object", "{*}Indicator"):
            name = each.get("id")
            if name and name in self._seen.refs:
                self._known[name] = _tree(each)

    def _add(self, rows: Rows, item: Item, document: int, evaluation: Evaluation) -> None:
        element = item.element
        if item.kind == BLOCK:
            rows.add(Found(None, _binding(element), "no-stix1"), {})
            return
        if item.kind == "TTP" or (element.get("idref") and not len(element)):
            return
        record = element.get("id") or ""
        if item.kind == "Observable" and (not self._settings.observables or record in self._seen.parts):
            if record not in self._seen.parts:
                rows.add(Found(None, _shown(element, record), "unwanted-type"), {"record": record})
            return
        if _version(element) < self._newest.get(record, ""):
            rows.add(Found(None, _shown(element, record), "superseded"), {"record": record})
            return
        about = self._about(item, record, document)
        found = evaluation.found(_tree(element))
        for each in found or [Found(None, _shown(element, record), _nothing(element))]:
            rows.add(each, about)

    def _about(self, item: Item, record: str, document: int) -> dict[str, Any]:
        """What is said about the values of an item."""
        element, package = item.element, item.package
        parts: dict[str, list[Element]] = {}
        for child in element:
            parts.setdefault(name_of(child), []).append(child)
        is_observed = item.kind == "Observable"
        aside = is_observed and (not item.listed or (document, package.number) in self._seen.with_indicators)
        return {
            "record": record,
            "confidence": _confidence(parts),
            "actionable": "false" if aside else None,
            "tlp": _tlp(element, package) if "Handling" in parts else _level(package.level),
            "threat_types": JOIN.join(_types(parts)) or None,
            "tags": JOIN.join(dict.fromkeys(self._tags(element, parts))) or None,
            "description": _description(parts, package),
            "references": JOIN.join(_references(element)) or None if "Producer" in parts else None,
            **_times(element, parts, package),
        }

    def _tags(self, element: Element, parts: Parts) -> Iterator[str]:
        if "Kill_Chain_Phases" in parts:
            for phase in element.iter("{*}Kill_Chain_Phase"):
                if name := phase.get("name"):
                    yield name
        for indicated in parts.get("Indicated_TTP", ()):
            for ttp in indicated.iterchildren("{*}TTP"):
                yield from self._names.get(ttp.get("idref") or "", []) or _titles(ttp)


def _refs(element: Element) -> Iterator[str]:
    for each in element.iter("{*}Observable", "{*}Object", "{*}Related_Object", "{*}Indicator"):
        if ref := each.get("idref"):
            yield ref


def _tree(element: Element) -> Node:
    name = name_of(element)
    if name == "Indicator":
        return indicator_tree(element)
    return observable_tree(element) if name == "Observable" else object_tree(element)


def _nothing(element: Element) -> str:
    """Why an item gives no value."""
    return "unsupported-pattern" if element.find("{*}Test_Mechanisms") is not None else "unsupported-type"


def _shown(element: Element, record: str) -> str:
    return cut(text_of(element.find("{*}Title")) or record or name_of(element))


def _binding(block: Element) -> str:
    """What format a block says that its content is of."""
    binding = block.find("{*}Content_Binding")
    named = binding.get("binding_id") if binding is not None else None
    return cut(f"a content block of {named or 'unnamed format'}")


def _version(element: Element) -> str:
    return element.get("timestamp") or ""


def _first(parts: Parts, name: str) -> str:
    """The text of the first child of a name."""
    return text_of(parts[name][0]) if name in parts else ""


def _confidence(parts: Parts) -> str | None:
    for each in parts.get("Confidence", ()):
        if (value := each.find("{*}Value")) is not None:
            return text_of(value) or None
    return None


def _tlp(element: Element, package: Package) -> str | None:
    levels = [each for each in (package.level, level_of(element)) if each is not None]
    return _level(max(levels, default=None))


def _level(level: int | None) -> str | None:
    return None if level is None else tlp.name(level)


def _types(parts: Parts) -> list[str]:
    """`IP Watchlist` as `ip-watchlist`."""
    return ["-".join(text.lower().split()) for each in parts.get("Type", ()) if (text := text_of(each))]


def _titles(element: Element) -> list[str]:
    """What a TTP is called, and the malware in it."""
    names = [text_of(element.find("{*}Title"))]
    names += [text_of(each) for each in element.iterfind("{*}Behavior/{*}Malware/{*}Malware_Instance/{*}Name")]
    return [each for each in names if each]


def _description(parts: Parts, package: Package) -> str | None:
    """Its own title and description, else the package's."""
    title, text = _first(parts, "Title"), _first(parts, "Description")
    if not title and not text:
        title, text = package.title or "", package.description or ""
    both = text if not title or title in text else f"{title}: {text}" if text else title
    return both[:_DESCRIPTION] or None


def _references(element: Element) -> list[str]:
    return [text for each in element.iterfind("{*}Producer/{*}References/{*}Reference") if (text := text_of(each))]


def _times(element: Element, parts: Parts, package: Package) -> dict[str, str | None]:
    """First seen: when it becomes valid, else its timestamp or the package's; last seen: the last sighting."""
    start = end = ""
    if "Valid_Time_Position" in parts:
        position = parts["Valid_Time_Position"][0]
        start, end = text_of(position.find("{*}Start_Time")), text_of(position.find("{*}End_Time"))
    sightings = element.iterfind("{*}Sightings/{*}Sighting") if "Sightings" in parts else ()
    sighted = [each.get("timestamp") or "" for each in sightings]
    return {
        "first_seen": start or element.get("timestamp") or package.timestamp,
        "last_seen": max(sighted, default="") or None,
        "valid_until": end or None,
    }


def read(path: Path, settings: Stix1Settings, ctx: Context) -> Iterator[pl.DataFrame]:
    """Raw frames of one document.

    Args:
        path: UTF-8 text.
        settings: of the source.
        ctx: feed's name, and where warnings go.

    Raises:
        FormatError: not XML, XML with a document type, or no STIX 1.
    """
    reading = Reading(settings, ctx)
    reading.add(path)
    yield from reading.frames()
