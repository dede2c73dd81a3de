"""What a document is, and the text that people read in it: of HTML without its machinery, of PDF its text layer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser, LexborNode

from tipline.errors import FormatError

PDF = b"%PDF-"
_FEED = re.compile(rb"<(?:rss|feed|rdf:RDF)[\s>]")
_PAGE = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|div|table|article|section|p|a|img|span|ul|ol|b|h[1-6])[\s>]", re.IGNORECASE
)
_MARKDOWN = re.compile(rb"^(?:#{1,6} |```)|\]\(https?://|^\|[ :|-]+\|\s*$", re.MULTILINE)
# Elements that hold no text of the document, or that of the site around it.
_SILENT = "script, style, template, noscript, svg, math, nav, footer, form, button, select, iframe, object, head"
_BLOCKS = frozenset(
    ("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "dialog", "dir",
     "div", "dl", "dt", "fieldset", "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html",
     "li", "main", "menu", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul")
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_PDF_SECONDS = 120
_PDF_MEMORY = 1 << 30


def media_type(head: bytes, hint: str | None = None) -> str:
    """Media type of a document by its first bytes.

    Args:
        head: the first kilobytes.
        hint: what its server or sender says; it decides between plain text and Markdown only.

    Returns:
        `application/pdf`, `application/rss+xml` (Atom too), `text/html`, `text/markdown` or `text/plain`.
    """
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if PDF in head[:1024]:
        return "application/pdf"
    if start.startswith(b"<"):
        if _FEED.search(start[:2048]):
            return "application/rss+xml"
        if _PAGE.search(start[:2048]):
            return "text/html"
    return "text/markdown" if "markdown" in (hint or "") or _MARKDOWN.search(head) else "text/plain"


def html_text(document: str | bytes) -> str:
    """The visible text of a page: a line for each block or table row, cells apart by tabs.

    Links give their text, not their targets. Elements inside a line leave no gap, so a name that is cut up by markup
    is whole again.
    """
    tree = LexborHTMLParser(document)
    for node in tree.css(_SILENT):
        node.decompose()
    root = tree.root
    return "" if root is None else re.sub(r"\n\s*\n+", "\n", "".join(_pieces(root)))


def _pieces(root: LexborNode) -> list[str]:
    out: list[str] = []
    preformatted = {node.mem_id for node in root.css("pre, textarea")}
    for node in root.traverse(include_text=True):
        tag = node.tag
        if tag == "-text":
            text = node.text(deep=False) or ""
            parent = node.parent
            kept = parent is not None and parent.mem_id in preformatted
            out.append(text if kept else re.sub(r"[ \t\r\n\f]+", " ", text))
        elif tag in _BLOCKS:
            out.append("\n")
        elif tag in _CELLS:
            out.append("\t")
    return out


def pdf_text(path: Path, feed: str) -> str:
    """The text layer of a PDF.

    It is read in a process of its own, with limits on time and memory: what a hostile file does there ends with it.

    Raises:
        FormatError: encrypted, damaged, without text, or more than the limits allow.
    """
    command = [sys.executable, "-m", "tipline.formats.freetext_pdf", str(path), str(_PDF_SECONDS), str(_PDF_MEMORY)]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, our module, a path of the spool
            command, capture_output=True, timeout=3 * _PDF_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise FormatError("the PDF takes too long to read", where=feed, fix="convert it to text") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = said[-1][:200] if said and done.returncode > 0 else "it takes too much time or memory"
        raise FormatError(f"the PDF cannot be read: {reason}", where=feed, fix="convert it to text")
    text = done.stdout.decode("utf-8", "replace")
    if not text.strip():
        raise FormatError("the PDF has no text layer", where=feed, fix="run a text recognition (OCR) over it first")
    return text
