"""A JSON array as blocks of NDJSON, by numpy: commas between elements become line ends.

Only the structure is looked at; whether each element is JSON is for the reader of the block to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tipline.formats.base import BLOCK_BYTES, MAX_LINE_BYTES

_QUOTE, _BACKSLASH, _LINE_FEED, _SPACE = 34, 92, 10, 32
_OPEN, _CLOSE, _COMMA, _LINE_END = 1, -1, 2, 3
_CODES = np.zeros(256, np.int8)
_CODES[list(b"[{")] = _OPEN
_CODES[list(b"]}")] = _CLOSE
_CODES[list(b",")] = _COMMA
_CODES[list(b"\r\n")] = _LINE_END
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Block:
    """Elements of an array, one a line."""

    text: bytes
    rows: int


def ndjson_blocks(stream: BinaryIO, size: int = BLOCK_BYTES, tail: bytearray | None = None) -> Iterator[Block | None]:
    """The elements of the array that is the rest of the stream.

    Args:
        stream: behind any byte-order mark.
        size: bytes read at once.
        tail: takes what stands behind the array (of it the first 16 MiB); None: only space may.

    Yields:
        Blocks; None, and then no more, where the structure is not that of one array.
    """
    data = stream.read(size).lstrip()
    if not data.startswith(b"["):
        yield None
        return
    data = data[1:]
    while True:
        commas, end, text = _structure(data)
        if end is not None:
            whole = data[end : end + 1] == b"]"
            if tail is None:
                whole = whole and _only_space(data[end + 1 :], stream, size)
            else:
                tail += data[end + 1 :] + stream.read(MAX_LINE_BYTES)
            yield Block(text[:end], len(commas) + 1) if whole else None
            return
        if len(commas):
            yield Block(text[: commas[-1] + 1], len(commas))
            data = data[int(commas[-1]) + 1 :]
        more = stream.read(max(size, len(data)))
        if not more or len(data) > MAX_LINE_BYTES:
            yield None
            return
        data += more


def _only_space(rest: bytes, stream: BinaryIO, size: int) -> bool:
    while not rest.strip():
        rest = stream.read(size)
        if not rest:
            return True
    return False


def _structure(data: bytes) -> tuple[Positions, int | None, bytes]:
    """Commas between elements, the closing bracket if it is there, and the data with an element a line."""
    array = np.frombuffer(data, np.uint8)
    codes = _CODES[array]
    marks = np.flatnonzero(codes)
    marks = marks[(np.searchsorted(_quotes(array), marks) & 1) == 0]
    found = codes[marks]
    depth = np.cumsum(np.where(np.abs(found) == 1, found, 0), dtype=np.int32)
    closing = np.flatnonzero(depth < 0)
    end = int(marks[closing[0]]) if len(closing) else None
    if len(closing):
        marks, found, depth = marks[: closing[0]], found[: closing[0]], depth[: closing[0]]
    commas = marks[(found == _COMMA) & (depth == 0)]
    text = array.copy()
    text[marks[found == _LINE_END]] = _SPACE
    text[commas] = _LINE_FEED
    return commas, end, text.tobytes()


def _quotes(array: npt.NDArray[np.uint8]) -> Positions:
    """Quotes that are not escaped: those with an even number of backslashes before them."""
    quotes = np.flatnonzero(array == _QUOTE)
    escaped = np.zeros(len(quotes), bool)
    which = np.arange(len(quotes))
    before = quotes - 1
    while len(which):
        slashes = (before >= 0) & (array[before] == _BACKSLASH)
        which, before = which[slashes], before[slashes] - 1
        escaped[which] ^= True
    return quotes[~escaped]
