"""JSON lists in MineMeld's shape: an array with one `{"indicator":…,"value":{…}}` a line.

The order of the keys is that of MineMeld's own answers; keys without a value are left out. Keys of `extra`
stand beside ours, which win. With fields chosen, `value` holds just those.
"""

from __future__ import annotations

import json

from tipline.outputs.render.addresses import first_to_last
from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import Field, extra_object, extra_path, field, literal
from tipline.outputs.render.spec import Context, Spec

USUAL = (
    "sources",
    "confidence",
    "first_seen",
    "type",
    "share_level",
    "last_seen",
    "valid_until",
    "direction",
    "threat_types",
    "tags",
    "description",
    "references",
)


def frame(_: Dialect, __: Context) -> Layout:
    """The brackets of the array; records after the first start with a comma and a line feed."""
    return Layout(b"[\n", b"]\n", lead=2)


def line(dialect: Dialect, type_: str) -> str:
    """SQL: the element of a row. Whatever the value holds, it is escaped and breaks no line."""
    return f"concat(',', chr(10), {element(dialect, type_)})"


def sequence_line(dialect: Dialect, type_: str) -> str:
    """SQL: the record of a row in a JSON text sequence (RFC 7464)."""
    return f"concat(chr(30), {element(dialect, type_)}, chr(10))"


def element(dialect: Dialect, type_: str) -> str:
    """SQL: the JSON object of a row."""
    chosen = dialect.fields or tuple((name, name) for name in USUAL)
    members = ", ".join(_member(name, column, type_, compat=dialect.compat) for name, column in chosen)
    # Each member starts with a comma, the first one's is cut; nulls vanish in concat().
    value = f"concat('{{', substr(concat({members}), 2), '}}')"
    if not dialect.fields:
        extra = extra_object()
        merged = f"json_merge_patch({extra}, {value})::VARCHAR"
        value = f"CASE WHEN extra IS NULL OR {extra} IS NULL THEN {value} ELSE {merged} END"
    indicator = f"to_json({_indicator(dialect, type_)})::VARCHAR"
    return f"concat('{{\"indicator\":', {indicator}, ',\"value\":', {value}, '}}')"


def _indicator(dialect: Dialect, type_: str) -> str:
    plain_ipv4 = dialect.compat and not dialect.cidrs and type_ == "ipv4"
    return first_to_last() if plain_ipv4 else "value"


def _member(name: str, key: str, type_: str, *, compat: bool) -> str:
    start = literal("," + json.dumps(key, ensure_ascii=False) + ":")
    known = field(name, type_, compat=compat)
    found = known or Field(f"json_extract({extra_object()}, {extra_path(name)})", "number")
    text = f"({found.sql})::VARCHAR" if found.shape == "number" else f"to_json({found.sql})::VARCHAR"
    return f"{start} || CASE WHEN ({found.sql}) IS NOT NULL THEN {text} END"


SPEC = Spec(
    "programs",
    line,
    frame=frame,
    media="application/json",
    extension="json",
    shows=None,
    limits="none",
)
SEQUENCE = Spec(
    "programs that read as it comes (RFC 7464)",
    sequence_line,
    media="application/json-seq",
    extension="json-seq",
    shows=None,
    limits="none",
)
