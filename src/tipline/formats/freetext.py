"""The freetext format: indicators out of text that was written for people, as reports and articles are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.errors import FormatError
from tipline.formats.base import BOM, Context, Patterns, line_blocks, not_ignored, slices
from tipline.formats.decode import decode
from tipline.formats.freetext_joins import joined
from tipline.formats.freetext_media import PDF, html_text, media_type, pdf_text
from tipline.formats.freetext_rules import Scope, judged
from tipline.formats.freetext_rules import publishers as known_publishers
from tipline.formats.freetext_words import TARGET, registry_keys, tidied, words
from tipline.model.normalise import conform
from tipline.model.suffixes import registrable_domain

__all__ = ["PDF", "FreetextSettings", "document_text", "extract", "found_in", "media_type", "read"]

_CONTEXT = 200
_DEFANGED = r"\[\.\]|hxxp|hXXp|HXXP|\[:\]|\[dot\]|\(dot\)|\(\.\)|\[at\]"
_LIVE = r"https?://"


class FreetextSettings(BaseModel):
    """How text is searched for indicators."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    publishers: list[str] = Field(
        default_factory=list,
        description="Domains whose live links are no indicators, besides the shipped list and the source's own host.",
    )
    links: Literal["auto", "take", "refuse"] = Field(
        default="auto",
        description="Live links (https://..., not defanged): auto refuses them where the text defangs its indicators.",
    )
    ignore: Patterns = Field(
        default_factory=list,
        description="Findings, as they are written, in which one of these regular expressions is found are skipped.",
    )
    max_document: int = Field(
        default=64 << 20, ge=1, description="Largest HTML or PDF document, in bytes; plain text has no limit."
    )


def read(path: Path, settings: FreetextSettings, ctx: Context, *, own: Iterable[str] = ()) -> Iterator[pl.DataFrame]:
    """Raw frames of a document: `value`, `type`, `description` (the line it stands in), `drop`.

    Args:
        path: UTF-8 text, HTML, or a PDF file as it is.
        settings: of the source.
        ctx: feed's name, and where warnings go.
        own: addresses that the document comes from; their hosts' links are not indicators.

    Raises:
        FormatError: a PDF that cannot be read, a document over `max_document`, a line of over 16 MiB.
    """
    with path.open("rb") as stream:
        kind = media_type(stream.read(4096))
    if kind in ("text/plain", "text/markdown"):
        scope = _scope(settings, own, _text_blocks(path, ctx))
        blocks = _text_blocks(path, ctx)
    else:
        text = _document_text(path, kind, settings, ctx).encode("utf-8", "replace")
        scope, blocks = _scope(settings, own, [text]), iter([text])
    for found in _found(blocks, scope):
        yield from slices(_raw(not_ignored(found, "word", settings.ignore)))


def found_in(text: str, settings: FreetextSettings, *, own: Iterable[str] = ()) -> pl.DataFrame:
    """The raw frame of a text in memory (see `read`)."""
    data = text.encode("utf-8", "replace")
    found = _found([data], _scope(settings, own, [data]))
    frames = [_raw(not_ignored(each, "word", settings.ignore)) for each in found]
    return pl.concat(frames) if frames else _raw(_empty())


def extract(
    document: bytes | str, media: str | None = None, publishers: Iterable[str] = (), feed: str = "the document"
) -> pl.DataFrame:
    """What a document holds, for a person to look through before anything is added.

    Args:
        document: text, Markdown, HTML or PDF; bytes in any character set, perhaps compressed.
        media: its media type, if the sender says one; `text/html` takes a fragment without `<html>` as HTML.
        publishers: domains whose live links are no indicators.
        feed: name for messages.

    Returns:
        One row for each finding, in the order of the text: `value` (canonical, or as written where refused), `type`,
        `found` (as written), `line` (from 1), `context` (that line), `drop` (why it is refused; null if it is not).

    Raises:
        FormatError: not text in any form, or more than can be read.
    """
    settings = FreetextSettings(publishers=list(publishers))
    ctx = Context(feed=feed)
    with tempfile.TemporaryDirectory(prefix="tipline-") as spool:
        path = Path(spool, "document")
        path.write_bytes(document.encode("utf-8", "replace") if isinstance(document, str) else document)
        decoded = decode(path, Path(spool), opaque=(PDF,), feed=feed).path
        text = document_text(decoded, settings, ctx, media)
    data = text.encode("utf-8", "replace")
    frames = list(_found([data], _scope(settings, (), [data])))
    found = pl.concat(frames) if frames else _empty()
    claims = conform(_raw(found))
    return pl.DataFrame(
        {
            "value": claims["value"],
            "type": claims.select(pl.coalesce("type", found["kind"].replace({"ip": None, "hash": None})))["type"],
            "found": found["word"],
            "line": found["line"],
            "context": found["context"],
            "drop": claims["drop"],
        }
    )


def _scope(settings: FreetextSettings, own: Iterable[str], blocks: Iterable[bytes]) -> Scope:
    hosts = {host for url in own if (host := _domain(url))}
    return Scope(known_publishers() | {*map(str.lower, settings.publishers)} | hosts, _defangs(blocks, settings))


def _domain(url: str) -> str | None:
    """Registrable domain of an address; None if it is none, as a feed's link may be anything."""
    try:
        host = urlsplit(url).hostname if "://" in url else None
    except ValueError:
        return None
    return (registrable_domain(host.lower()) or host.lower()) if host else None


def _text_blocks(path: Path, ctx: Context) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(len(BOM) if stream.read(len(BOM)) == BOM else 0)
        yield from line_blocks(stream, ctx)


def document_text(path: Path, settings: FreetextSettings, ctx: Context, media: str | None = None) -> str:
    """The text that people read in a document (UTF-8 text, HTML, or a PDF as it is).

    Raises:
        FormatError: a PDF that cannot be read, or a document over `max_document`.
    """
    with path.open("rb") as stream:
        kind = media_type(stream.read(4096), media)
    return _document_text(
        path, "text/html" if media == "text/html" and kind.startswith("text/") else kind, settings, ctx
    )


def _document_text(path: Path, kind: str, settings: FreetextSettings, ctx: Context) -> str:
    if path.stat().st_size > settings.max_document:
        raise FormatError(
            f"the document is larger than max_document ({settings.max_document:,} bytes)",
            where=ctx.feed,
            fix="raise max_document if memory allows (some ten times that)",
        )
    if kind == "application/pdf":
        return pdf_text(path, ctx.feed)
    text = path.read_bytes().removeprefix(BOM).decode("utf-8", "replace")
    return html_text(text) if kind in ("text/html", "application/rss+xml") else text


def _defangs(blocks: Iterable[bytes], settings: FreetextSettings) -> bool:
    """Whether live links are refused: by setting, or since the text defangs what it names."""
    if settings.links != "auto":
        return settings.links == "refuse"
    defanged = live = 0
    for block in blocks:
        texts = _lines(block)
        defanged += int(texts.str.count_matches(_DEFANGED).sum())
        live += int(texts.str.count_matches(_LIVE).sum())
    return defanged > 0 and 2 * defanged >= live


def _lines(block: bytes) -> pl.Series:
    """The lines of a text; a form feed ends one, too."""
    block = block.replace(b"\x0c", b"\n")
    try:
        return pl.read_lines(BytesIO(block), name="text")["text"]
    except pl.exceptions.ComputeError:  # not UTF-8
        return pl.read_lines(BytesIO(block.decode("utf-8", "replace").encode()), name="text")["text"]


def _found(blocks: Iterable[bytes], scope: Scope) -> Iterator[pl.DataFrame]:
    """Findings of each block; a block's last line goes with the next, since a value may be broken there."""
    kept, number = b"", 1
    for block in chain(blocks, [b""]):
        texts = joined(_lines(kept + block))
        if block:
            kept = texts[-1].encode() + (b"\n" if block.endswith(b"\n") else b"")
            texts = texts[:-1]
        if len(texts):
            yield _in_lines(texts, number, scope)
        number += len(texts)


def _in_lines(texts: pl.Series, number: int, scope: Scope) -> pl.DataFrame:
    tidy = tidied(texts.str.strip_chars_end("\r"))
    lines = pl.DataFrame({"line": pl.int_range(number, number + len(tidy), eager=True), "text": tidy})
    found = judged(words(lines), scope).select("line", "text", "word", "kind", "drop")
    keys = registry_keys(lines)
    if keys.height:
        keys = keys.select("line", "text", "word", kind=pl.lit("registry-key"), drop=pl.lit(None, pl.String))
        found = pl.concat([found, keys]).sort("line", maintain_order=True)
    context = pl.col("text").str.replace_all(TARGET, "", literal=True).str.strip_chars()
    return found.select("line", "word", "kind", "drop", context=context)


def _empty() -> pl.DataFrame:
    names = ("word", "kind", "drop", "context")
    return pl.DataFrame(schema={"line": pl.Int64, **dict.fromkeys(names, pl.String)})


def _raw(found: pl.DataFrame) -> pl.DataFrame:
    more = pl.col("context").str.len_chars() > pl.col("word").str.len_chars() + 2
    return found.select(
        value="word",
        type="kind",
        description=pl.when(more).then(pl.col("context").str.head(_CONTEXT)),
        drop="drop",
    )
