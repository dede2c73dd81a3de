"""The articles of RSS (0.9 to 2.0, RDF) and Atom feeds, read without entities, document types or network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from tipline.errors import FormatError
from tipline.formats.freetext_media import html_text

_ARTICLES = {"item", "entry"}
_TEXTS = ("encoded", "content", "description", "summary")
_TIMES = ("published", "pubdate", "date", "issued", "updated", "modified")
_ID = 200


@dataclass(frozen=True)
class Article:
    """One article.

    Attributes:
        id: its GUID, else its link, else a digest of its text; at most 200 characters.
        link: address of the page; empty if there is none.
        title: as text.
        text: what the feed holds of it, as text.
        published: as the feed writes it; empty if it does not.
    """

    id: str
    link: str
    title: str
    text: str
    published: str

    @property
    def digest(self) -> str:
        """Of all that it says, to tell whether it has changed."""
        return hashlib.sha256("\0".join((self.link, self.title, self.text)).encode()).hexdigest()[:16]


def articles(document: bytes, where: str) -> Iterator[Article]:
    """The articles of a feed, as it orders them.

    Raises:
        FormatError: it is no RSS or Atom, not even a damaged one.
    """
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, recover=True, remove_comments=True
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError:
        root = None
    if root is None or _name(root) not in ("rss", "feed", "rdf", "channel"):
        raise FormatError(
            "the body is no RSS or Atom feed", where=where, fix="look at the body; for a web page use kind: freetext"
        )
    for node in root.iter(etree.Element):
        if _name(node) in _ARTICLES:
            yield _article(node)


def _name(node: etree._Element) -> str:
    # A damaged feed can hold tags that are no names, which etree.QName refuses.
    return str(node.tag).rpartition("}")[2].lower()


def _article(node: etree._Element) -> Article:
    parts: dict[str, list[etree._Element]] = {}
    for child in node.iterchildren(etree.Element):
        parts.setdefault(_name(child), []).append(child)
    title = html_text(_first(parts, ("title",)))
    # The longest is the article, the others cut it short.
    text = max((html_text(_inner(part)) for name in _TEXTS for part in parts.get(name, [])), key=len, default="")
    link = _link(parts.get("link", []))
    found = Article("", link, title.strip(), text.strip(), _first(parts, _TIMES).strip())
    identity = _first(parts, ("guid", "id")).strip() or node.get("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about")
    return Article((identity or link or found.digest)[:_ID], link, found.title, found.text, found.published)


def _first(parts: dict[str, list[etree._Element]], names: tuple[str, ...]) -> str:
    return next((_inner(node) for name in names for node in parts.get(name, [])), "")


def _inner(node: etree._Element) -> str:
    """Text of an element; markup that stands in it as elements (Atom's xhtml) becomes text again."""
    if len(node) == 0:
        return node.text or ""
    inner = "".join(etree.tostring(child, encoding="unicode") for child in node)
    return (node.text or "") + inner


def _link(nodes: list[etree._Element]) -> str:
    """RSS's text, or Atom's `href` of the alternate link."""
    links = [(node.get("rel", "alternate"), (node.get("href") or node.text or "").strip()) for node in nodes]
    return next((link for rel, link in links if rel == "alternate" and link), "")
