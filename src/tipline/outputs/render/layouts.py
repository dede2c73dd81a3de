"""Which module writes which format."""

from __future__ import annotations

from tipline.outputs.render import csv, json, plain
from tipline.outputs.render.dialect import Dialect, Format, Layout

_FRAMES = {"plain": plain.frame, "csv": csv.frame, "json": json.frame}
_LINES = {"plain": plain.line, "csv": csv.line, "json": json.line}
EXTENSIONS: dict[Format, str] = {"plain": "txt", "csv": "csv", "json": "json"}
MEDIA_TYPES: dict[Format, str] = {
    "plain": "text/plain; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}
# Raised when the text of an unchanged list would change, so that prepared files are made anew.
VERSION = 1


def layout(dialect: Dialect) -> Layout:
    """What stands around the records."""
    return _FRAMES[dialect.format](dialect)


def line(dialect: Dialect, type_: str) -> str:
    """SQL: the text of one row of a type, over the published columns; null: the row cannot be written."""
    return _LINES[dialect.format](dialect, type_)
