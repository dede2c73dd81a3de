"""Queries for a format's records: a type at a time where that can be, else all types sorted together."""

from __future__ import annotations

from collections.abc import Sequence

from tipline.outputs.render.addresses import rows_of
from tipline.outputs.render.dialect import Dialect
from tipline.outputs.render.spec import ADDRESSES, Context, Part, Rows, Spec

# MineMeld kept its lists by the time of last sight, and by value within the same.
_NEWEST = "seen DESC NULLS LAST, value DESC"
_OLDEST = "seen NULLS FIRST, value"


def parts(spec: Spec, dialect: Dialect, context: Context, rows: Rows) -> Sequence[Part]:
    """The queries that write a list, in order."""
    if spec.parts is not None:
        return spec.parts(dialect, context, rows)
    limit = _limit(spec, dialect, rows)
    if dialect.newest or dialect.compat or spec.distinct or limit is not None:
        return [Part(_together(spec, dialect, rows, limit))] if rows.types else []
    return [Part(of_type(spec, dialect, rows.table, type_)) for type_ in rows.types]


def of_type(spec: Spec, dialect: Dialect, table: str, type_: str) -> str:
    """SQL: the texts of a type in order."""
    order = "lo, up, value" if type_ in ADDRESSES else "value"
    return f"SELECT {spec.line(dialect, type_)} FROM {_rows(spec, dialect, table, type_)} ORDER BY {order}"


def union_of(spec: Spec, dialect: Dialect, rows: Rows, *more: str) -> str:
    """SQL: texts of all types, what they are sorted by (rank, seen, trust, value, lo), and more."""
    columns = ", ".join(("last_seen AS seen", "confidence AS trust", "value", "lo", *more))
    return " UNION ALL ".join(
        f"SELECT {spec.line(dialect, type_)} AS text, {rank} AS rank, {columns}"
        f" FROM {_rows(spec, dialect, rows.table, type_)}"
        for rank, type_ in enumerate(rows.types)
    )


def order_of(dialect: Dialect) -> str:
    """SQL: how all types together are sorted."""
    if dialect.merged:
        return "rank, lo, value"
    if dialect.newest:
        return _NEWEST
    return _OLDEST if dialect.compat else "rank, lo, value"


def _rows(spec: Spec, dialect: Dialect, table: str, type_: str) -> str:
    cidrs = dialect.cidrs or spec.cidrs
    return rows_of(table, type_, cidrs=cidrs, merged=dialect.merged or spec.merged)


def _limit(spec: Spec, dialect: Dialect, rows: Rows) -> int | None:
    """How many records may be written, if there might be more."""
    most = int(dialect.option("most", str(spec.most or 0)))
    return most if most and (rows.total > most or dialect.cidrs or spec.cidrs or spec.distinct) else None


def _together(spec: Spec, dialect: Dialect, rows: Rows, limit: int | None) -> str:
    texts = union_of(spec, dialect, rows)
    if spec.distinct:
        texts = (
            "SELECT text, min(rank) AS rank, max(seen) AS seen, max(trust) AS trust, text AS value,"
            f" min(lo) AS lo, count(*) AS n FROM ({texts}) GROUP BY text"
        )
    if limit is not None:
        # The most trusted stay, of these the latest; the others are left out and counted.
        best = "row_number() OVER (ORDER BY text IS NULL, trust DESC, seen DESC NULLS LAST, value)"
        texts = f"SELECT * REPLACE (CASE WHEN {best} <= {limit} THEN text END AS text) FROM ({texts})"
    shown = "text, n" if spec.distinct else "text"
    return f"SELECT {shown} FROM ({texts}) ORDER BY {order_of(dialect)}"
