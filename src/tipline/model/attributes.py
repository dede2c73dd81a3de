"""What a source says about an indicator: its words and numbers read into the claim columns.

Nothing here drops a row: an attribute that cannot be read is null.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import polars as pl

from tipline.model import tlp
from tipline.model.refang import trim

_TRUE = ["true", "t", "yes", "y", "on", "1", "1.0"]
_FALSE = ["false", "f", "no", "n", "off", "0", "0.0"]
_DIRECTIONS: Mapping[str, str] = {
    "inbound": "inbound",
    "in": "inbound",
    "ingress": "inbound",
    "source": "inbound",
    "src": "inbound",
    "outbound": "outbound",
    "out": "outbound",
    "egress": "outbound",
    "destination": "outbound",
    "dst": "outbound",
}
_FEW = 1000
_LONGEST_ITEM = 500
_LONGEST_JSON = 65_536
_PART = "\x1f"


def _read(column: pl.Series, expr: pl.Expr) -> pl.Series:
    """Evaluate an expression on the column, which it calls `x`."""
    return pl.DataFrame({"x": column}).select(expr.alias("x"))["x"]


def _word() -> pl.Expr:
    return pl.col("x").str.strip_chars(" \t\r\n\xa0\ufeff\"'").str.to_lowercase()


def by_distinct(column: pl.Series, read: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`read(column)`, reading a text that repeats only once where that saves work.

    Args:
        column: Strings or lists.
        read: gives as many values as it gets, each from its text alone.
    """
    if len(column) < _FEW or column.dtype != pl.String:
        return read(column)
    distinct = column.unique()
    if 2 * len(distinct) > len(column):
        return read(column)
    table = pl.DataFrame({"x": distinct, "read": read(distinct)})
    joined = pl.DataFrame({"x": column}).join(table, on="x", how="left", nulls_equal=True, maintain_order="left")
    return joined["read"]


def confidence(column: pl.Series, words: Mapping[str, int]) -> pl.Series:
    """Numbers, with or without `%`, rounded and clipped to 0..100; words by the map; else null (UInt8)."""
    number = _word().str.strip_suffix("%").str.strip_chars_end().cast(pl.Float64, strict=False)
    clipped = pl.when(number.is_finite()).then(number.clip(0, 100).round().cast(pl.UInt8, strict=False))
    if not words:
        return _read(column, clipped)
    named = _word().replace_strict(dict(words), default=None, return_dtype=pl.UInt8)
    return _read(column, pl.coalesce(clipped, named))


def actionable(column: pl.Series) -> pl.Series:
    """Yes and no in the usual spellings; else null (Boolean)."""
    yes, no = _word().is_in(_TRUE), _word().is_in(_FALSE)
    return _read(column, pl.when(yes).then(pl.lit(value=True)).when(no).then(pl.lit(value=False)))


def tlp_level(column: pl.Series) -> pl.Series:
    """Levels 0 to 4 of TLP words or marking ids; else null (UInt8)."""
    levels = {word: tlp.level(word) for word in column.unique().drop_nulls()}
    if not levels:
        return pl.repeat(None, len(column), dtype=pl.UInt8, eager=True)
    return _read(column, pl.col("x").replace_strict(levels, default=None, return_dtype=pl.UInt8))


def direction(column: pl.Series) -> pl.Series:
    """`inbound` or `outbound`; else null."""
    return _read(column, _word().replace_strict(dict(_DIRECTIONS), default=None, return_dtype=pl.String))


def text(column: pl.Series, longest: int) -> pl.Series:
    """Trimmed text without control characters, cut at `longest` characters; null if nothing is left."""
    clean = trim(pl.col("x").str.head(4 * longest).str.replace_all(r"[\p{Cc}&&[^\n\t]]", ""))
    return _read(column, _or_null(clean.str.head(longest)))


def _or_null(expr: pl.Expr) -> pl.Expr:
    return pl.when(expr != "").then(expr)


def json_object(column: pl.Series, longest: int) -> pl.Series:
    """Texts that are JSON objects of at most `longest` bytes; else null."""
    small = pl.when(pl.col("x").str.len_bytes() <= longest).then(pl.col("x").str.strip_chars())
    checked = small.str.json_path_match("$")
    return _read(column, pl.when(small.str.starts_with("{") & checked.is_not_null()).then(small))


def _json_items(cell: str) -> str:
    """Items of a JSON array, each after a `_PART`; the cell itself if it is none."""
    try:
        items = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    if not isinstance(items, list):
        return cell
    return "".join(f"{_PART}{item}" for item in items if isinstance(item, str | int | float))


def _unpack_json(column: pl.Series) -> pl.Series:
    arrays = column.filter(
        (column.str.starts_with("[") & (column.str.len_bytes() <= _LONGEST_JSON)).fill_null(value=False)
    )
    if arrays.is_empty():
        return column
    known = {cell: _json_items(cell) for cell in arrays.unique()}
    return column.replace(list(known), pl.Series(list(known.values()), dtype=pl.String))


def _tidy(items: pl.Expr, most: int) -> pl.Expr:
    """Items trimmed, empty and repeated ones left out, in their order; null if none is left."""
    item = trim(pl.element().str.head(_LONGEST_ITEM))
    tidy = items.list.eval(item.filter(item != "")).list.unique(maintain_order=True).list.head(most)
    return pl.when(tidy.list.len() > 0).then(tidy)


def items(column: pl.Series, most: int) -> pl.Series:
    """Lists of tags or threat types (List(String)).

    Args:
        column: lists, or Strings holding a JSON array, words parted by `,`, `;` or `|`, or hashtags (`#a
        #b`).
        most: longest list.
    """
    if column.dtype == pl.List:
        return _read(column.cast(pl.List(pl.String)), _tidy(pl.col("x"), most))
    hashtags = pl.col("x").str.strip_chars().str.starts_with("#")
    parts = (
        pl.when(hashtags)
        .then(pl.col("x").str.replace_all(r"\s*[,;|]?\s*#|\s+", _PART))
        .otherwise(pl.col("x").str.replace_all(r"[,;|]", _PART))
    )
    plain = pl.col("x").str.starts_with("[") | pl.col("x").str.contains(_PART, literal=True)
    split = pl.when(plain).then(pl.col("x")).otherwise(parts).str.split(_PART)
    return _read(_unpack_json(_read(column, pl.col("x").str.strip_chars())), _tidy(split, most))


def references(column: pl.Series, most: int) -> pl.Series:
    """Lists of references (List(String)).

    Args:
        column: lists, or Strings holding a JSON array or texts parted by blanks, `|`, or a comma or
            semicolon before a further `http`.
        most: longest list.
    """
    if column.dtype == pl.List:
        return _read(column.cast(pl.List(pl.String)), _tidy(pl.col("x"), most))
    url = pl.col("x").str.replace_all(r"[,;|\s]+(https?://)", _PART + "$1")
    parts = pl.when(pl.col("x").str.contains("://", literal=True)).then(url).otherwise(pl.col("x"))
    split = parts.str.replace_all(r"\|", _PART).str.split(_PART)
    return _read(_unpack_json(_read(column, pl.col("x").str.strip_chars())), _tidy(split, most))
