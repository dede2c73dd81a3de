"""JSON rows to raw frames: by Polars where paths are plain and rows regular, else by Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from typing import Any

import polars as pl
from jmespath.exceptions import JMESPathError

from tipline.errors import FormatError
from tipline.formats.base import BAD_ROW, LIST_ATTRIBUTES, cut
from tipline.formats.json_settings import Getter, JsonSettings, getter, is_plain

_BATCH = 50_000


@dataclass(frozen=True)
class Unreadable:
    """A row that is not JSON."""

    text: str


@dataclass
class Paths:
    """The settings' paths, compiled once."""

    settings: JsonSettings
    value: Getter = field(init=False)
    attributes: dict[str, Getter] = field(init=False)
    extra: dict[str, Getter] = field(init=False)

    def __post_init__(self) -> None:
        fields = self.settings.fields
        self.value = getter(fields["value"])
        self.attributes = {name: getter(path) for name, path in fields.items() if name != "value"}
        self.extra = {path: getter(path) for path in self.settings.extra}


def frames(rows: Iterable[Any], paths: Paths, where: str) -> Iterator[pl.DataFrame]:
    """Raw frames of parsed rows, 50,000 rows of JSON each.

    Raises:
        FormatError: a JMESPath cannot be applied.
    """
    source = iter(rows)
    while batch := list(islice(source, _BATCH)):
        try:
            yield _frame(batch, paths)
        except JMESPathError as error:
            raise FormatError(
                f"a path cannot be applied: {' '.join(str(error).split())}",
                where=where,
                fix="correct `fields`",
            ) from error


def _frame(rows: list[Any], paths: Paths) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {"value": [], "drop": [], **{name: [] for name in paths.attributes}}
    if paths.extra:
        columns["extra"] = []
    for row in rows:
        if isinstance(row, Unreadable):
            _add(columns, [cut(row.text)], {"drop": BAD_ROW})
            continue
        values = _values(paths.value(row))
        if not values:
            _add(columns, [cut(_text(row) or "null")], {"drop": BAD_ROW})
            continue
        found = {name: get(row) for name, get in paths.attributes.items()}
        if paths.extra:
            found["extra"] = {path: get(row) for path, get in paths.extra.items()}
        _add(columns, values, found)
    return pl.DataFrame({name: _series(name, column) for name, column in columns.items()})


def _add(columns: dict[str, list[Any]], values: list[str], found: dict[str, Any]) -> None:
    for value in values:
        columns["value"].append(value)
    for name, column in columns.items():
        if name != "value":
            column.extend([found.get(name)] * len(values))


def _values(found: Any) -> list[str]:
    """The indicators at a path: none for an object or nothing, several for a list."""
    items = found if isinstance(found, list) else [found]
    flat = [inner for item in items for inner in (item if isinstance(item, list) else [item])]
    return [text for item in flat if not isinstance(item, dict) and (text := _text(item)) is not None]


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _series(name: str, column: list[Any]) -> pl.Series:
    if name in LIST_ATTRIBUTES and any(isinstance(cell, list) for cell in column):
        lists = [cell if isinstance(cell, list) else None if cell is None else [cell] for cell in column]
        texts = [cell and [_clean(text) for item in cell if (text := _text(item)) is not None] for cell in lists]
        return pl.Series(name, texts, dtype=pl.List(pl.String))
    return pl.Series(name, [_clean(_text(cell)) for cell in column], dtype=pl.String)


def _clean(text: str | None) -> str | None:
    r"""Text without lone surrogates (`"\ud800"` is JSON, but no character)."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def schema(settings: JsonSettings) -> dict[str, Any] | None:
    """Nested Polars schema for the settings' paths; None if Polars cannot follow them."""
    paths = settings.fields.values()
    if settings.extra or not all(is_plain(path) for path in paths):
        return None
    tree: dict[str, Any] = {}
    for path in sorted(set(paths)):
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                return None
        if leaf in node:
            return None
        node[leaf] = pl.String
    return {name: _dtype(child) for name, child in tree.items()}


def _dtype(node: Any) -> Any:
    return pl.Struct({name: _dtype(child) for name, child in node.items()}) if isinstance(node, dict) else node


def fast_frame(block: bytes, settings: JsonSettings, wanted: dict[str, Any]) -> pl.DataFrame | None:
    """A raw frame of NDJSON by Polars; None if any row is not plain enough, and Python must look."""
    try:
        parsed = pl.read_ndjson(BytesIO(block), schema=wanted)
    except pl.exceptions.PolarsError:
        return None
    frame = parsed.select(_at(path).alias(name) for name, path in settings.fields.items())
    value = pl.col("value")
    odd = value.is_null() | value.str.contains(r"^[\[{]")
    for name in LIST_ATTRIBUTES:
        if name in frame.columns:
            odd |= pl.col(name).str.starts_with("[").fill_null(value=False)
    return None if frame.select(odd.any()).item() else frame


def _at(path: str) -> pl.Expr:
    first, *others = path.split(".")
    expression = pl.col(first)
    for name in others:
        expression = expression.struct.field(name)
    return expression
