"""The json format: arrays, NDJSON, and documents with a JMESPath to the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import jmespath
import polars as pl
from jmespath.exceptions import JMESPathError

from tipline.errors import FormatError
from tipline.formats.base import MAX_LINE_BYTES, Context, line_blocks, open_text, slices
from tipline.formats.json_array import elements
from tipline.formats.json_blocks import ndjson_blocks
from tipline.formats.json_rows import Paths, Unreadable, fast_frame, frames, schema
from tipline.formats.json_settings import JsonSettings, getter, is_plain

__all__ = ["JsonSettings", "read"]

_NOT_JSON = "the body is not JSON"


def read(path: Path, settings: JsonSettings, ctx: Context) -> Iterator[pl.DataFrame]:
    """Raw frames of a JSON file. NDJSON and arrays are streamed; a document (`rows`) is parsed whole.

    Args:
        path: UTF-8 text (see `decode`), with or without a byte-order mark.
        settings: of the source.
        ctx: feed's name, and where warnings go.

    Raises:
        FormatError: not JSON (with the place), nested too deep, too large a document, or no rows at `rows`.
    """
    paths = Paths(settings)
    with open_text(path, settings, ctx) as stream:
        layout = _layout(stream, settings)
        if layout is None:
            return
        if layout == "lines":
            found = _lines(stream, paths, ctx)
        elif layout == "array":
            found = _array(stream, paths, ctx)
        else:
            found = frames(_document(stream, settings, ctx), paths, ctx.feed)
        for frame in found:
            yield from slices(frame)


def _layout(stream: BinaryIO, settings: JsonSettings) -> str | None:
    """How the rows stand; None for an empty file. Leaves the stream where it was."""
    start = stream.tell()
    head = stream.read(4096).lstrip()
    stream.seek(start)
    if not head:
        return None
    if settings.layout != "auto":
        return settings.layout
    if settings.rows is not None:
        return "document"
    if head.startswith(b"["):
        return "array"
    if not head.startswith(b"{"):
        return "lines"
    line = stream.readline(MAX_LINE_BYTES).strip()
    rest = stream.read(4096).strip()
    stream.seek(start)
    # An object over several lines, or alone, is a document; an object a line is NDJSON.
    return "lines" if line.endswith(b"}") and rest.startswith(b"{") else "document"


def _array(stream: BinaryIO, paths: Paths, ctx: Context) -> Iterator[pl.DataFrame]:
    """An array: by Polars in blocks; from the first that it refuses on, by Python element by element."""
    start, done = stream.tell(), 0
    wanted = schema(paths.settings)
    for block in ndjson_blocks(stream) if wanted else [None]:
        frame = fast_frame(block.text, paths.settings, wanted) if block and wanted else None
        if block is None or frame is None or frame.height != block.rows:
            break
        yield frame
        done += block.rows
    else:
        return
    stream.seek(start)
    yield from frames(islice(elements(stream, ctx), done, None), paths, ctx.feed)


def _lines(stream: BinaryIO, paths: Paths, ctx: Context) -> Iterator[pl.DataFrame]:
    """NDJSON: by Polars in blocks; a block that it refuses goes through Python line by line."""
    wanted = schema(paths.settings)
    first = True
    for block in line_blocks(stream, ctx):
        frame = fast_frame(block, paths.settings, wanted) if wanted else None
        if frame is None:
            yield from frames(_parsed_lines(block, ctx, first=first), paths, ctx.feed)
        else:
            yield frame
        first = False


def _parsed_lines(block: bytes, ctx: Context, *, first: bool) -> Iterator[Any]:
    for number, line in enumerate(block.split(b"\n"), 1):
        text = line.decode("utf-8", "replace").strip()
        if not text:
            continue
        try:
            yield json.loads(text)
        except (ValueError, RecursionError) as error:
            if first:
                raise _refusal(error, ctx, line=number) from error
            yield Unreadable(text)
        first = False


def _document(stream: BinaryIO, settings: JsonSettings, ctx: Context) -> Iterator[Any]:
    text = stream.read(settings.max_document + 1)
    if len(text) > settings.max_document:
        raise FormatError(
            f"the document is larger than max_document ({settings.max_document >> 20} MiB)",
            where=ctx.feed,
            fix="raise max_document if memory allows (some eight times as much), or use NDJSON",
        )
    try:
        document = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise _refusal(error, ctx) from error
    yield from _rows(document, settings, ctx)


def _rows(document: Any, settings: JsonSettings, ctx: Context) -> list[Any]:
    if settings.rows is None:
        if isinstance(document, list):
            return document
        if getter(settings.fields["value"])(document) is not None and settings.fields["value"] != "@":
            return [document]
        raise FormatError("the body is one object, not a list of rows", where=ctx.feed, fix=_where_rows_are(document))
    try:
        search = getter(settings.rows) if is_plain(settings.rows) else jmespath.compile(settings.rows).search
        rows = search(document)
    except (JMESPathError, RecursionError) as error:
        raise FormatError(f"rows: {' '.join(str(error).split())}", where=ctx.feed, fix="correct `rows`") from error
    if rows is None:
        raise FormatError(f"there is nothing at rows: {settings.rows}", where=ctx.feed, fix=_where_rows_are(document))
    return rows if isinstance(rows, list) else [rows]


def _where_rows_are(document: Any) -> str:
    if not isinstance(document, dict):
        return "the body is not an object; leave `rows` out"
    lists = [key for key, value in document.items() if isinstance(value, list)]
    if lists:
        return f"set `rows` to where they are: {', '.join(lists[:5])}"
    return f"set `rows` to where they are; the object's keys are: {', '.join(list(document)[:20])}"


def _refusal(error: Exception, ctx: Context, line: int | None = None) -> FormatError:
    """What is wrong with the JSON, and where."""
    if isinstance(error, RecursionError):
        return FormatError("the JSON is nested too deep", where=ctx.feed, fix="no feed needs this; look at the body")
    place = ""
    if isinstance(error, json.JSONDecodeError):
        place = f" at line {line or error.lineno}, column {error.colno}"
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return FormatError(f"{_NOT_JSON}{place}: {reason}", where=ctx.feed, fix="look at the body; is it another format?")
