"""Blue Coat (Symantec) ProxySG local database: URLs by category.

The categories of an indicator are those in its attribute `ca` (a field, or a key of extra; usually
bc_category), else the default ones, `cd`; without either it is left out, as in MineMeld.
"""

from __future__ import annotations

from collections.abc import Sequence

from tipline.outputs.render.dialect import Dialect
from tipline.outputs.render.fields import CONTROL, extra_object, extra_path, field, literal
from tipline.outputs.render.queries import union_of
from tipline.outputs.render.spec import LONGEST, URL, Context, Part, Rows, Spec
from tipline.outputs.render.urls import PARTIAL_STAR, SCHEME, let

_TYPES = ("domain", "url", "ipv4")


def line(_: Dialect, __: str) -> str:
    """SQL: a row's value as the database has it; null if it is left out."""
    bare = f"regexp_replace(regexp_replace(lower(value), '{SCHEME}', ''), '{PARTIAL_STAR}', '*', 'g')"
    fits = f"length(b) <= {LONGEST} AND regexp_full_match(b, '{URL}')"
    return let("b", bare, f"CASE WHEN {fits} THEN b END")


def categories(dialect: Dialect) -> str:
    """SQL: the categories of a row as a list; null if it has none."""
    name = dialect.option("ca", "bc_category")
    known = field(name, "url")
    found = f"json_extract({extra_object()}, {extra_path(name)})"
    held = (
        f"CASE json_type({found}) WHEN 'ARRAY' THEN json_extract_string({found}, '$[*]')"
        f" WHEN 'VARCHAR' THEN [json_extract_string({found}, '$')] END"
    )
    if known is not None:
        held = known.sql if known.shape == "list" else f"[({known.sql})::VARCHAR]"
    given = ", ".join(map(literal, dialect.values("cd")))
    usual = f"[{given}]" if given else "NULL::VARCHAR[]"
    # Quoted, so that a category of several words is one; one that could end its line or its quotes is none.
    fits = rf"regexp_full_match(c, '[^{CONTROL}\x22\\]{{1,64}}')"
    quoted = "CASE WHEN regexp_full_match(c, '[A-Za-z0-9_.-]+') THEN c ELSE '\"' || c || '\"' END"
    return f"list_transform(list_filter(coalesce({held}, {usual}), lambda c: {fits}), lambda c: {quoted})"


def parts(dialect: Dialect, _: Context, rows: Rows) -> Sequence[Part]:
    """One query; the first record of a category brings its name, the last one its end."""
    if not rows.types:
        return []
    held = f"(SELECT *, {categories(dialect)} AS cats FROM {rows.table})"
    texts = union_of(SPEC, dialect, Rows(held, rows.types, rows.total), "cats")
    none = "CASE WHEN text IS NULL OR coalesce(len(cats), 0) = 0 THEN [NULL] ELSE cats END"
    single = f"SELECT *, unnest({none}) AS cat FROM ({texts})"
    grouped = (
        "SELECT cat, CASE WHEN cat IS NOT NULL THEN text END AS text, min(rank) AS rank, min(value) AS value,"
        f" count(*) AS n FROM ({single}) GROUP BY ALL"
    )
    over = "OVER (PARTITION BY cat ORDER BY rank, value"
    first = f"CASE WHEN row_number() {over}) = 1 THEN 'define category ' || cat || chr(10) ELSE '' END"
    last = f"CASE WHEN lead(value) {over}) IS NULL THEN {literal('end')} || chr(10) ELSE '' END"
    text = f"{first} || text || chr(10) || {last}"
    return [Part(f"SELECT {text} AS text, n FROM ({grouped}) ORDER BY cat, rank, value")]


SPEC = Spec(
    "Blue Coat (Symantec) ProxySG, local database",
    line,
    _TYPES,
    shows=None,
    cidrs=True,
    pages=None,
    parts=parts,
    limits="indicators with a category (`ca=` its attribute, `cd=` the usual ones); s and n are ignored",
)
