"""VMware Carbon Black (CB Response) feed: one report with addresses, domains and MD5 hashes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC

from tipline.outputs.render.addresses import quads
from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.queries import order_of, union_of
from tipline.outputs.render.spec import HEX, NAME, Context, Part, Rows, Spec, whole

# Carbon Black takes single addresses only; a wider network is left out (MineMeld wrote 16 million for a /8).
_WIDEST = 65_536
# Type, its list's name there, the length of what separates two elements, and spaces before the name.
_LISTS = (("ipv4", "ipv4", 1, " " * 8), ("domain", "dns", 2, ""), ("md5", "md5", 2, ""))
_PAGE = "https://live.paloaltonetworks.com/t5/MineMeld/ct-p/MineMeld"


def frame(dialect: Dialect, context: Context) -> Layout:
    """What stands before and after the lists, laid out as by MineMeld (without its logo)."""
    maker = "MineMeld" if dialect.compat else "tipline"
    page = _PAGE if dialect.compat else "https://localhost/"
    info = {
        "category": maker,
        "version": "0.1",
        "provider_url": page,
        "display_name": f"{maker} Feed",
        "summary": f"Indicators routed through {maker}",
        "tech_data": f"Indicators routed through {maker}",
        "name": context.name,
    }
    title = f"{'MieneMeld' if dialect.compat else maker} Generated Report"
    report = {
        "timestamp": int(context.changed.replace(tzinfo=UTC).timestamp()),
        "id": f"{context.name}_report",
        "link": page,
        "score": int(dialect.option("rs", "100")),
        "description": f"{maker} Generated Report",
        "title": dialect.option("rt", title),
    }
    head = f'{{\n"feedinfo": {{\n{_members(info)}\n}},\n"reports": [{{{_members(report)},    "iocs": {{'
    return Layout(head.encode(), b"}}]}")


def _members(values: Mapping[str, object]) -> str:
    return ",".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items())


def line(_: Dialect, type_: str) -> str:
    """SQL: the element of a row of a type, after the comma that separates it; null if it is left out."""
    if type_ == "ipv4":
        return f"CASE WHEN n IS NOT NULL THEN concat(',\"', {quads('n')}, '\"') END"
    pattern = NAME if type_ == "domain" else HEX
    return whole(pattern, "concat(', \"', value, '\"')", 253)


def parts(dialect: Dialect, _: Context, rows: Rows) -> Sequence[Part]:
    """The three lists, empty ones too."""
    found = []
    for type_, name, lead, indent in _LISTS:
        before, after = f'{indent}"{name}": ['.encode(), b"]" if type_ == "md5" else b"],"
        table = f"({_single(rows.table)})" if type_ == "ipv4" else rows.table
        texts = union_of(SPEC, dialect, Rows(table, (type_,), rows.total))
        query = f"SELECT text FROM ({texts}) ORDER BY {order_of(dialect)}"
        found.append(Part(query, before, after, before + after, lead))
    return found


def _single(table: str) -> str:
    """SQL: each address of a row with an interval as a row; its number is its value, for the order."""
    first, end = (f"('0x' || right({column}::VARCHAR, 8))::BIGINT" for column in ("lo", "up"))
    last = f"CASE WHEN {end} = 0 THEN 4294967296 ELSE {end} END"
    every = f"CASE WHEN {last} - {first} BETWEEN 1 AND {_WIDEST} THEN range({first}, {last}) ELSE [NULL] END"
    each = f"SELECT *, unnest({every}) AS n FROM {table} WHERE type = 'ipv4'"
    return f"SELECT * REPLACE (lpad(n::VARCHAR, 10, '0') AS value, NULL::UUID AS lo) FROM ({each})"


SPEC = Spec(
    "VMware Carbon Black EDR, threat feed",
    line,
    ("ipv4", "domain", "md5"),
    frame,
    media="application/json",
    extension="json",
    pages=None,
    parts=parts,
    limits="single addresses: networks become their addresses, up to 65,536 of each; s and n are ignored",
)
