"""CSV lists as MineMeld wrote them: CRLF, quotes only where needed, lists joined by commas.

Two things differ on purpose. A record is always one line: control and direction marks in a cell become
spaces. And a cell that a spreadsheet would take for a formula gets a leading apostrophe (OWASP, CSV
injection), unless the setting `formulas` says `keep`.
"""

from __future__ import annotations

import re

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import BIDI, CONTROL, Field, extra_object, extra_path, field
from tipline.outputs.render.spec import Context, Spec

_FORMULA = r"^\s*[=+\-@＝＋－＠]"


def frame(dialect: Dialect, _: Context) -> Layout:
    """The header line, after a byte order mark if that is asked for."""
    names = ",".join(_header_cell(column, dialect) for _, column in dialect.fields)
    head = f"{names}\r\n" if dialect.header else ""
    return Layout((b"\xef\xbb\xbf" if dialect.bom else b"") + head.encode(), b"")


def line(dialect: Dialect, type_: str) -> str:
    """SQL: the record of a row; null if its value would break a line."""
    cells = [_cell(name, type_, dialect) for name, _ in dialect.fields]
    if len(cells) == 1:
        # An empty record of one cell would be a blank line, which readers skip.
        cells = [f"coalesce(nullif({cells[0]}, ''), '\"\"')"]
    record = " || ',' || ".join(cells)
    return f"CASE WHEN NOT regexp_matches(value, '[{CONTROL}]') THEN {record} || chr(13) || chr(10) END"


def _cell(name: str, type_: str, dialect: Dialect) -> str:
    known = field(name, type_, compat=dialect.compat)
    found = known or Field(f"json_extract_string({extra_object()}, {extra_path(name)})")
    if found.shape in {"number", "word"}:
        return f"coalesce({found.sql}::VARCHAR, '')"
    text = f"array_to_string({found.sql}, ',')" if found.shape == "list" else found.sql
    return f"coalesce({_safe(text, dialect, keep_marks=name == 'indicator')}, '')"


def _safe(text: str, dialect: Dialect, *, keep_marks: bool) -> str:
    """SQL: a cell's text; one look decides whether anything has to be done to it."""
    unwanted = CONTROL if keep_marks else CONTROL + BIDI
    clean = f"regexp_replace({text}, '[{unwanted}]', ' ', 'g')"
    if dialect.formulas == "escape":
        clean = f"CASE WHEN regexp_matches({clean}, '{_FORMULA}') THEN chr(39) || {clean} ELSE {clean} END"
    quoted = f"CASE WHEN contains({clean}, ',') OR contains({clean}, '\"')"
    quoted += f" THEN '\"' || replace({clean}, '\"', '\"\"') || '\"' ELSE {clean} END"
    special = f"[{unwanted},\\x22]"
    if dialect.formulas == "escape":
        special += f"|{_FORMULA}"
    return f"CASE WHEN regexp_matches({text}, '{special}') THEN {quoted} ELSE {text} END"


def defused(text: str) -> str:
    """A cell's text, with an apostrophe before what a spreadsheet would calculate."""
    return "'" + text if re.match(_FORMULA, text) else text


def _header_cell(text: str, dialect: Dialect) -> str:
    if dialect.formulas == "escape":
        text = defused(text)
    return '"' + text.replace('"', '""') + '"' if re.search(r'[,"]', text) else text


SPEC = Spec(
    "spreadsheets and scripts",
    line,
    frame=frame,
    media="text/csv; charset=utf-8",
    extension="csv",
    shows=None,
    limits="none; control characters in a cell become spaces",
)
