"""Delimited text: delimiter, header, comments, and what the columns hold."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tipline.config.guess.columns import Column, columns_of, names_values, roles, shapeless, values
from tipline.model import normalise_one, type_of_word

_DELIMITERS = (",", ";", "\t", "|", "#")
_WORDS = {"\t": "tab", " ": "space"}
_ROWS = 1_000
# A `#` mostly begins a comment.
_FEWEST = {"#": 3}
_STEADY = 0.8
_LONG = 400  # characters of a name of a column


def table_candidates(text: str) -> Iterator[dict[str, Any]]:
    """Settings of `csv` for the delimiters that divide the rows steadily; a header alone may tell of one column."""
    found = []
    for delimiter in _DELIMITERS:
        rows, heads = _rows(text, delimiter)
        widths = Counter(len(row) for row in rows)
        if not rows:
            continue
        width, count = widths.most_common(1)[0]
        if width >= _FEWEST.get(delimiter, 2) and count >= _STEADY * len(rows):
            found.append((count / len(rows), width, delimiter, rows, heads))
    found.sort(key=lambda each: (-round(each[0], 1), -min(each[1], 3), _DELIMITERS.index(each[2])))
    for _, _, delimiter, rows, heads in found:
        settings = _settings(rows, heads, delimiter)
        if settings is not None:
            yield settings
    single, _ = _rows(text, "\x1f")
    if len(single) > 1 and names_values(single[0][0]) and _is_header(single[0], single[1:]):
        yield {"kind": "csv", "columns": {"value": single[0][0].strip()}}


def _rows(text: str, delimiter: str) -> tuple[list[list[str]], list[str]]:
    """Records, and the comments before them."""
    lines: list[str] = []
    heads: list[str] = []
    for line in text.splitlines(keepends=True):
        if delimiter != "#" and line.startswith("#"):
            if not lines:
                heads.append(line.lstrip("#").strip())
            continue
        lines.append(line)
    try:
        found = [row for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if any(row)][:_ROWS]
    except csv.Error:
        return [], heads
    return found, heads


def _settings(rows: list[list[str]], heads: list[str], delimiter: str) -> dict[str, Any] | None:
    header = _is_header(rows[0], rows[1:])
    names = [name.strip() for name in rows[0]] if header else _from_comment(heads, delimiter, len(rows[0]))
    columns = columns_of(rows[1:] if header else rows, names)
    taken = roles(columns)
    found, typed = values(columns, taken), None
    if not found:
        found, typed = shapeless(columns)
    if not found:
        return None

    def at(column: Column) -> int | str:
        return column.name if header and names.count(column.name) == 1 and column.name else column.place

    mapped = {attribute: at(column) for attribute, column in taken.items()}
    places = [at(column) for column in found]
    made: dict[str, Any] = {"kind": "csv"}
    if not header:
        made["header"] = False
    if delimiter != ",":
        made["delimiter"] = _WORDS.get(delimiter, delimiter)
    if delimiter == "#":
        made["comments"] = []
    made["columns"] = {"value": places[0] if len(places) == 1 else places, **mapped}
    if typed:
        made["type"] = typed
    if _splits(found[0]):
        made["split"] = ","
    if len({len(row) for row in rows}) > 1:
        made["short_rows"] = "keep"
    return made


def _splits(column: Column) -> bool:
    """Whether cells hold several hashes with commas between them."""
    return any(re.fullmatch(r"[0-9A-Fa-f]{32,}(?:,\s*[0-9A-Fa-f]{32,})+", c) for c in column.cells)


def _is_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether a first record names columns: words that are no indicators, above cells of another sort."""
    cells = [cell.strip() for cell in first]
    named = [cell for cell in cells if cell]
    if not rest or not named or len(set(named)) < len(named) or any(len(cell) > _LONG for cell in named):
        return False
    if any(re.fullmatch(r"[\d.,:/-]+", cell) for cell in named):
        return False
    if any(normalise_one(cell).drop is None for cell in named):
        return False
    # A row whose type column already holds a type's word is data: `evil.example,hostname` or `x,sha256`.
    words = [place for place, cell in enumerate(cells) if type_of_word(cell) is not None]
    return not any(_repeats(place, cells[place], rest) for place in words)


def _repeats(place: int, word: str, rest: list[list[str]]) -> bool:
    return any(place < len(row) and row[place].strip() == word for row in rest[:50])


def _from_comment(heads: list[str], delimiter: str, width: int) -> list[str]:
    """Names of columns in the last comment before the rows, if it has as many cells."""
    for line in reversed(heads):
        names = [name.strip().strip('"') for name in line.split(delimiter)]
        if len(names) == width and width > 1:
            return names
    return []
