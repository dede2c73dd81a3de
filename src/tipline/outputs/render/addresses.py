"""Relations of addresses for formats that need CIDRs, or addresses that do not overlap."""

from __future__ import annotations

from tipline.outputs.render.spec import ADDRESSES
from tipline.processors.iptext import named, to_cidrs


def union(relation: str) -> str:
    """SQL: the addresses of a relation as the fewest CIDRs that do not overlap; other columns are null.

    Intervals that overlap or touch make one; `island` counts the gaps before a row.
    """
    ordered = "OVER (PARTITION BY type ORDER BY lo, up"
    before = f"max(up) {ordered} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    gap = f"coalesce(lo > {before}, TRUE)::INT"
    gaps = f"SELECT type, lo, up, {gap} AS gap FROM {relation} WHERE lo IS NOT NULL"
    islands = f"SELECT type, lo, up, sum(gap) {ordered}) AS island FROM ({gaps})"
    merged = (
        "SELECT NULL::UUID AS key, NULL::UBIGINT AS kh, type, NULL::VARCHAR AS value, min(lo) AS lo,"
        " max(up) AS up, 0::UTINYINT AS confidence, NULL::TIMESTAMP AS last_seen"
        f" FROM ({islands}) GROUP BY type, island"
    )
    # Kept, as it is read three times below, and made of windows.
    return f"WITH merged AS MATERIALIZED ({named(merged)}) {to_cidrs('merged')}"


def rows_of(table: str, type_: str, *, cidrs: bool, merged: bool) -> str:
    """SQL: the rows of a type, addresses as the format needs them."""
    rows = f"(SELECT * FROM {table} WHERE type = '{type_.replace(chr(39), chr(39) * 2)}')"
    if type_ not in ADDRESSES or not (cidrs or merged):
        return rows
    return f"({union(rows) if merged else to_cidrs(rows)})"


def first_to_last() -> str:
    """SQL: an IPv4 row as `first-last`, also if it is one address; its value if it has no interval."""
    first, end = (f"('0x' || right({column}::VARCHAR, 8))::UBIGINT" for column in ("lo", "up"))
    last = f"(({end} + 4294967295::UBIGINT) % 4294967296::UBIGINT)"
    return f"coalesce({quads(first)} || '-' || {quads(last)}, value)"


def quads(number: str) -> str:
    """SQL: a number as an IPv4 address."""
    octets = ", ".join(f"({number} >> {shift}) & 255" for shift in (24, 16, 8, 0))
    return f"concat_ws('.', {octets})"
