"""What the text formats share: context, settings, web-page and size checks, and blocks of whole lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from tipline.errors import FormatError

# Rows of a frame at most; bytes read at once; bytes that one line (or record) may take at most.
BATCH_ROWS = 100_000
BLOCK_BYTES = 4 << 20
MAX_LINE_BYTES = 16 << 20
BAD_ROW = "bad-row"
TEXT_LIMIT = 500

# Claim attributes that a format may fill beside `value`, in the order of the raw frame.
ATTRIBUTES = (
    "type", "record", "confidence", "actionable", "tlp", "direction", "threat_types", "tags", "description",
    "references", "first_seen", "last_seen", "valid_until",
)  # fmt: skip
LIST_ATTRIBUTES = ("threat_types", "tags", "references")
BOM = b"\xef\xbb\xbf"

# Text in which white space means something: a node's `str_strip_whitespace` must not touch it.
Verbatim = Annotated[str, StringConstraints(strip_whitespace=False)]
Prefixes = Annotated[list[Verbatim], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]


def groups_of(pattern: str) -> list[str]:
    """Names of a pattern's groups.

    Raises:
        ValueError: not a regular expression of Rust's `regex` (no look-around, no back-references).
    """
    try:
        kind = pl.Series([""]).str.extract_groups(pattern).dtype
    except pl.exceptions.ComputeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("error: ")
        raise ValueError(f"{pattern!r} is not a regular expression without look-around: {reason}") from error
    return [field.name for field in kind.fields] if isinstance(kind, pl.Struct) else []


def _compiling(patterns: list[str]) -> list[str]:
    for pattern in patterns:
        groups_of(pattern)
    return patterns


Patterns = Annotated[Prefixes, AfterValidator(_compiling)]


class TextSettings(BaseModel):
    """Settings that every text format has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    html: bool = Field(
        default=False,
        description="Take a body that begins like a web page; else it is refused as not being the feed.",
    )


@dataclass
class Context:
    """What a format may use: the feed's name for messages, and a place for warnings.

    Attributes:
        feed: name of the feed or file, as people know it; used as `where` of errors.
        warnings: sentences for the run's record.
    """

    feed: str = ""
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Keep a warning, once."""
        line = f"{self.feed}: {text}" if self.feed else text
        if line not in self.warnings:
            self.warnings.append(line)


def open_text(path: Path, settings: TextSettings, ctx: Context) -> BinaryIO:
    """Open a UTF-8 file behind its byte-order mark.

    Raises:
        FormatError: the file is a web page.
    """
    stream = path.open("rb")
    head = stream.read(1024)
    stream.seek(len(BOM) if head.startswith(BOM) else 0)
    start = head.removeprefix(BOM).lstrip().lower()
    if not settings.html and start.startswith((b"<!doctype html", b"<html")):
        stream.close()
        raise FormatError(
            "the server answered with a web page, not with the feed",
            where=ctx.feed,
            fix="open the address in a browser; usual causes: a sign-in, a consent page, a moved feed",
        )
    return stream


def line_blocks(stream: BinaryIO, ctx: Context, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The rest of a stream as blocks that end with a line's end (the last one may not).

    Raises:
        FormatError: a line is longer than 16 MiB.
    """
    rest = b""
    while data := stream.read(size):
        data = rest + data
        end = data.rfind(b"\n") + 1
        if not end and len(data) > MAX_LINE_BYTES:
            raise FormatError(
                f"a line is longer than {MAX_LINE_BYTES >> 20} MiB",
                where=ctx.feed,
                fix="the body is not a list of lines; choose another format",
            )
        rest = data[end:]
        if end:
            yield data[:end]
    if rest:
        yield rest


def not_ignored(frame: pl.DataFrame, column: str, patterns: list[str]) -> pl.DataFrame:
    """The rows in whose text none of some regular expressions is found."""
    return frame.filter(~pl.any_horizontal(pl.col(column).str.contains(p) for p in patterns)) if patterns else frame


def slices(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """A frame in pieces of at most 100,000 rows; nothing for an empty frame."""
    if frame.height:
        yield from frame.iter_slices(BATCH_ROWS)


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that suggests the closest known word; empty when none is close."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(names), n=1, cutoff=0.5)
    return f"did you mean {names[close[0]]!r}?" if close else ""


def cut(text: str) -> str:
    """A record's text, short enough to keep."""
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT]
