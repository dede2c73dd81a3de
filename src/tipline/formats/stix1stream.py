"""Streams the items of STIX 1 documents: indicators and observables, each with the package that it stands in.

XML is read without entities, document type or network, to libxml2's bounds of depth (256) and of one text (10 MB). What
has been read is let go, so that memory does not grow with the document. Packages may stand in another document, such as
an answer of a TAXII 1 server, and within each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from tipline.errors import FormatError
from tipline.formats.base import Context
from tipline.formats.stix1cybox import Element, kind_of, name_of, space_of, text_of
from tipline.model import tlp

_PACKAGES = ("STIX_Package", "Package")
_ITEMS = ("Indicator", "Observable", "TTP")
# Their contents are items or nothing that is asked for, and are let go at their end.
_HEAVY = ("Incident", "Threat_Actor", "Campaign", "Course_Of_Action", "Exploit_Target", "Report")
#: What a TAXII 1 answer holds, each with content of its own format.
BLOCK = "Content_Block"
_TAGS = tuple(f"{{*}}{name}" for name in (*_PACKAGES, *_ITEMS, *_HEAVY, BLOCK, "STIX_Header", "Header"))
_SPACES = (
    "http://stix.mitre.org/", "http://cybox.mitre.org/",
    "http://docs.oasis-open.org/cti/ns/stix/", "http://docs.oasis-open.org/cti/ns/cybox/",
)  # fmt: skip
# Elements of one item at most: each takes about 500 bytes.
_MOST_ELEMENTS = 400_000
_COUNT = etree.XPath("count(descendant::*)")


@dataclass
class Package:
    """What a package says of all that stands in it.

    Attributes:
        number: counted over the document.
        timestamp: of the package.
        level: its TLP, or that of the package around it if that is stricter.
        title, description: of its header.
    """

    number: int = 0
    timestamp: str | None = None
    level: int | None = None
    title: str | None = None
    description: str | None = None


class Item(NamedTuple):
    """An outermost indicator, observable or TTP; or a block of a TAXII answer that holds no STIX 1.

    Attributes:
        kind: the element's name.
        element: complete; gone when the next item is asked for.
        package: the one around it.
        listed: whether it stands in the package's own list, not inside an incident or the like.
    """

    kind: str
    element: Element
    package: Package
    listed: bool


@dataclass
class Items:
    """The items of one document, once.

    Args:
        path: UTF-8 text.
        ctx: feed's name.
        required: whether it must hold some STIX 1.
    """

    path: Path
    ctx: Context
    required: bool = True
    _packages: list[Package] = field(default_factory=list)
    _count: int = 0
    _inside: int = 0
    _stix: bool = False
    _stix_in_block: bool = False

    def __iter__(self) -> Iterator[Item]:
        """Yield them.

        Raises:
            FormatError: not XML, XML with a document type, or no STIX 1.
        """
        try:
            with self.path.open("rb") as stream:
                reading = etree.iterparse(
                    stream, events=("start", "end"), tag=_TAGS, resolve_entities=False, load_dtd=False,
                    no_network=True, huge_tree=False, remove_comments=True, remove_pis=True, encoding="utf-8",
                )  # fmt: skip
                for event, element in reading:
                    yield from self._seen(event, element)
                if reading.root is not None:
                    self._refuse_doctype(reading.root)
        except etree.XMLSyntaxError as error:
            raise FormatError(
                f"not well-formed XML: {error.msg}", where=self.ctx.feed, fix="look at the body"
            ) from error
        if self.required and not self._stix:
            raise FormatError("the document holds no STIX 1", where=self.ctx.feed, fix="look at the body")

    def _refuse_doctype(self, element: Element) -> None:
        if element.getroottree().docinfo.doctype:
            raise FormatError(
                "the XML has a document type (DOCTYPE), which STIX never needs and attacks do",
                where=self.ctx.feed,
                fix="ask the publisher to leave it out",
            )

    def _seen(self, event: str, element: Element) -> Iterator[Item]:
        name = name_of(element)
        if not self._stix:
            self._refuse_doctype(element)
        if event == "start":
            self._begin(name, element)
            return
        if name in _PACKAGES:
            self._packages.pop()
        elif name in _ITEMS:
            self._inside -= 1
            if not self._inside:
                yield self._item(name, element)
        elif name == BLOCK and not self._inside and not self._stix_in_block:
            yield Item(name, element, Package(), listed=True)
        elif name in ("STIX_Header", "Header") and not self._inside:
            self._head(element)
            return
        if not self._inside:
            _let_go(element)

    def _begin(self, name: str, element: Element) -> None:
        if name == BLOCK:
            self._stix_in_block = False
        elif space_of(element).startswith(_SPACES):
            self._stix = self._stix_in_block = True
        if name in _ITEMS:
            self._inside += 1
        elif name in _PACKAGES:
            self._count += 1
            around = self._packages[-1].level if self._packages else None
            self._packages.append(Package(self._count, element.get("timestamp"), around))

    def _item(self, name: str, element: Element) -> Item:
        parent = element.getparent()
        if _COUNT(element) > _MOST_ELEMENTS:
            raise FormatError(
                f"an {name.lower()} has more than {_MOST_ELEMENTS:,} elements",
                where=self.ctx.feed,
                fix="ask the publisher for one indicator a value",
            )
        listed = parent is None or name_of(parent) in ("Observables", "Indicators")
        return Item(name, element, self._packages[-1] if self._packages else Package(), listed)

    def _head(self, element: Element) -> None:
        if not self._packages:
            return
        package = self._packages[-1]
        levels = [each for each in (package.level, level_of(element)) if each is not None]
        package.level = max(levels, default=None)
        package.title = text_of(element.find("{*}Title")) or None
        package.description = text_of(element.find("{*}Description")) or None


def level_of(element: Element) -> int | None:
    """The strictest TLP of the markings in an element's own `Handling`."""
    levels = [
        level
        for handling in element.iterchildren("{*}Handling")
        for structure in handling.iter("{*}Marking_Structure")
        for each in structure.iter(etree.Element)
        if (level := tlp.level(each.get("color") or "")) is not None
        and ("TLP" in kind_of(structure) or "AIS" in kind_of(structure))
    ]
    return max(levels, default=None)


def _let_go(element: Element) -> None:
    """Free an element and what stands before it."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
