"""Character sets: a text file to UTF-8, block by block, losing no row to a byte that cannot be decoded."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tipline.errors import ConfigError, FormatError
from tipline.formats.spool import spooled

_BLOCK = 1 << 20
# UTF-32's mark begins with UTF-16's, so it is looked for first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SINGLE_BYTE = ("cp1252", "mac-roman", "latin-1")
_PUNCTUATION = "‘’“”–—…•«»©®™°§·"
_HIGH_LINE = re.compile(rb"[^\n]*[\x80-\xff][^\n]*")
_SAMPLE = 64 << 10
_CONTROLS = bytes({*range(9), *range(14, 27), *range(28, 32)})


def to_utf8(src: Path, dst: Path, charset: str | None, hint: str | None, *, feed: str, warnings: list[str]) -> bool:
    """Write `src` to `dst` as UTF-8 with line feeds, if it is not so already.

    Args:
        src: text in any character set.
        dst: file to write.
        charset: what the user says; only a byte-order mark beats it.
        hint: what the server says; used if the text is not UTF-8.
        feed: name, for messages.
        warnings: where a guess, or a byte that could not be decoded, is told.

    Returns:
        Whether `dst` was written; if not, `src` is fit as it is.

    Raises:
        FormatError: binary data, or a character set that the body cannot be in.
        ConfigError: an unknown character set.
    """
    with src.open("rb") as stream:
        head = stream.read(4096)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if marked is None:
        _refuse_binary(head, charset, feed)
    encoding = marked or (_known(charset) if charset else None)
    returns = False
    if encoding in (None, "utf-8"):
        broken, returns = _check(src)
        if broken is None and not returns:
            return False
        if broken is not None and encoding is None:
            encoding = _guess(broken, hint, feed, warnings)
    _write(src, dst, encoding or "utf-8", feed, warnings, returns=returns)
    return True


def _known(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except LookupError:
        raise ConfigError(
            f"{charset!r} is not a known character set",
            fix="use a name such as utf-8, cp1252 or shift-jis",
        ) from None


def _refuse_binary(head: bytes, charset: str | None, feed: str) -> None:
    wide = charset is not None and _known(charset).startswith(("utf-16", "utf-32"))
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if not wide and controls * 20 > len(head):
        fix = "is it UTF-16 without a mark? then set charset; else it is no text feed"
        raise FormatError(f"the body is binary data, beginning with {head[:8].hex(' ')}", where=feed, fix=fix)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def _check(src: Path) -> tuple[bytes | None, bool]:
    """The block that is not UTF-8 (None: all is), and whether lines end in bare returns."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = returns = False
    with src.open("rb") as stream:
        for block in _blocks(stream):
            newlines = newlines or b"\n" in block
            returns = returns or b"\r" in block
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return block, returns and not newlines
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return error.object, returns and not newlines
    return None, returns and not newlines


def _guess(sample: bytes, hint: str | None, feed: str, warnings: list[str]) -> str:
    """The likeliest character set of text that is not UTF-8."""
    sample = b"\n".join(_HIGH_LINE.findall(sample)[:500])[:_SAMPLE]
    replaced = sample.decode("utf-8", "replace")
    good = sum(not c.isascii() for c in replaced) - replaced.count("\ufffd")
    if good > replaced.count("\ufffd"):
        return "utf-8"
    guessed = max(_SINGLE_BYTE, key=lambda name: _plausibility(sample, name))
    try:
        name = codecs.lookup(hint).name if hint else guessed
    except LookupError:
        name = guessed
    if name in ("utf-8", "ascii", "iso8859-1"):
        # Servers say these by default, whatever the file is.
        name = guessed
    source = "the server says" if name != guessed else "it looks like"
    text = f"{feed}: the body is not UTF-8; read as {name}, as {source}; set `charset` to be sure"
    warnings.append(text.lstrip(": "))
    return name


def _plausibility(sample: bytes, name: str) -> int:
    """How much a decoding looks like text: only characters that are not ASCII count."""
    text = sample.decode(name, "replace")
    score = 0
    for at, character in enumerate(text):
        if character.isascii():
            continue
        before = text[at - 1] if at else " "
        if character == "\ufffd" or (character < "\u00a0"):
            score -= 2
        elif (
            character.isspace()
            or character in _PUNCTUATION
            or character.islower()
            or (character.isupper() and not before.islower())
        ):
            score += 1
        else:
            score -= 1
    return score


def _write(src: Path, dst: Path, encoding: str, feed: str, warnings: list[str], *, returns: bool) -> None:
    """Decode and write; what cannot be decoded becomes U+FFFD, and is counted."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    lost = 0
    try:
        with src.open("rb") as stream, spooled(dst, feed) as out:
            for block in _blocks(stream):
                lost += _put(decoder.decode(block), out, returns=returns)
            lost += _put(decoder.decode(b"", final=True), out, returns=returns)
    except UnicodeError as exc:
        # UTF-16 and UTF-32 without a byte-order mark: there is nothing to replace them with.
        fix = "say utf-16-le or utf-16-be, or leave charset out"
        raise FormatError(f"the body is not {encoding}: {exc}", where=feed, fix=fix) from None
    if lost:
        warnings.append(f"{feed}: {lost} bytes are not {encoding} and were replaced".lstrip(": "))


def _put(text: str, out: BinaryIO, *, returns: bool) -> int:
    out.write((text.replace("\r", "\n") if returns else text).encode("utf-8", "replace"))
    return text.count("\ufffd")
