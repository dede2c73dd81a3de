r"""Zeek's intelligence files: `#fields` names the columns, which tabs separate; `\xNN` is a character."""

from __future__ import annotations

import re

import polars as pl

from tipline.errors import FormatError
from tipline.formats.dialects.rows import LINE, raw, reason

_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})")
_ATTRIBUTES = {
    "indicator_type": "type",
    "meta.desc": "description",
    "meta.url": "references",
    "meta.confidence": "confidence",
    "meta.cif_confidence": "confidence",
}


class Intel:
    """A reader of one file; the header holds until another one comes."""

    def __init__(self, _redirects: bool) -> None:
        self.fields: list[str] = []
        self.separator = "\t"
        self.unset: tuple[str, ...] = ("-", "(empty)")

    def __call__(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Rows of the next lines.

        Raises:
            FormatError: rows come before a `#fields` line, or it does not name the indicator's column.
        """
        text = lines.select(LINE.str.strip_chars("\ufeff\r")).filter(LINE.str.strip_chars() != "")
        marks = text.with_row_index("row").filter(LINE.str.starts_with("#"))
        frames, start = [], 0
        for row, line in marks.iter_rows():
            frames.append(self._rows(text.slice(start, row - start)))
            self._header(line)
            start = row + 1
        frames.append(self._rows(text.slice(start)))
        return pl.concat(frames, how="diagonal")

    def _header(self, line: str) -> None:
        word, _, rest = line.partition(" " if line.startswith("#separator") else self.separator)
        if word == "#separator":
            self.separator = _unescaped(rest.strip()) or "\t"
        elif word == "#fields":
            self.fields = [name.strip() for name in rest.split(self.separator)]
            if "indicator" not in self.fields:
                raise FormatError("the line #fields names no column indicator", fix="is it another log of Zeek's?")
        elif word in {"#unset_field", "#empty_field"}:
            self.unset = (*self.unset, rest)

    def _rows(self, lines: pl.DataFrame) -> pl.DataFrame:
        if lines.is_empty():
            return pl.DataFrame(schema={"value": pl.String, "drop": pl.String})
        if not self.fields:
            raise FormatError("there is no line #fields before the first row", fix="choose another format or dialect")
        cells = lines.with_columns(cells=LINE.str.split(self.separator))
        at = {name: self._cell(number) for number, name in enumerate(self.fields)}
        columns = {ours: at[theirs].alias(ours) for theirs, ours in _ATTRIBUTES.items() if theirs in at}
        others = [cell.alias(name) for name, cell in at.items() if name not in {"indicator", *_ATTRIBUTES}]
        if others:
            columns["extra"] = pl.struct(others).struct.json_encode()
        short = pl.col("cells").list.len() < len(self.fields)
        return raw(cells, at["indicator"], reason((short, "bad-row")), **columns)

    def _cell(self, number: int) -> pl.Expr:
        cell = pl.col("cells").list.get(number, null_on_oob=True)
        kept = pl.when(~cell.is_in(self.unset)).then(cell)
        return (
            pl.when(kept.str.contains(r"\x", literal=True))
            .then(kept.map_elements(_unescaped, return_dtype=pl.String))
            .otherwise(kept)
        )


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
