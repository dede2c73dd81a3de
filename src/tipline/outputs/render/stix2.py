"""STIX 2.1 bundles: an indicator each, made by the database, with the TLP markings that they refer to.

Facts: STIX 2.1 sections 3.2, 4.7, 7.2.1.4 and 9; the extension definition of TLP 2.0.
"""

from __future__ import annotations

import json
import uuid

from tipline.microsoft.stix import NAMESPACE, pattern_for
from tipline.model.tlp import MARKINGS
from tipline.model.types import TYPES
from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import iso
from tipline.outputs.render.spec import Context, Spec
from tipline.outputs.stixmarkings import marking

# A file path is two comparisons, and a number is not in quotes: these have SQL of their own or none.
_TYPES = tuple(
    name for name, row in TYPES.items() if row.stix2 and not row.stix2_number and pattern_for(name, "1") is not None
    and name != "file-path"
)  # fmt: skip


def line(_: Dialect, type_: str) -> str:
    """SQL: the indicator of a row, after the comma that separates it."""
    path = (TYPES[type_].stix2 or "").replace("'", "''")
    value = "replace(replace(value, '\\', '\\\\'), '''', '\\''')"
    pattern = f"'[{path} = ''' || {value} || ''']'"
    markings = " ".join(f"WHEN {number} THEN '{identity}'" for number, identity in enumerate(MARKINGS))
    members = [
        "',\"description\":' || to_json(description)::VARCHAR",
        "',\"confidence\":' || confidence",
        "',\"labels\":' || CASE WHEN len(tags) > 0 THEN to_json(tags)::VARCHAR END",
        f"',\"valid_until\":\"' || CASE WHEN valid_until > since THEN {_moment('valid_until')} END || '\"'",
        f"',\"object_marking_refs\":[\"' || CASE tlp {markings} END || '\"]'",
    ]
    types = "CASE WHEN len(threat_types) > 0 THEN to_json(threat_types)::VARCHAR ELSE '[\"malicious-activity\"]' END"
    return (
        f'concat(\',{{"type":"indicator","spec_version":"2.1","id":"indicator--\', {_uuid()},'
        f' \'","created":"\', {_moment("since")}, \'","modified":"\', {_moment("since")}, \'","valid_from":"\','
        f' {_moment("since")}, \'","name":\', to_json(value)::VARCHAR, \',"pattern_type":"stix","pattern":\','
        f" to_json({pattern})::VARCHAR, ',\"indicator_types\":', {types}, {', '.join(members)}, '}}', chr(10))"
    )


def _uuid() -> str:
    """SQL: the key as a UUID of version 5, which STIX wants of identifiers that are derived."""
    return "left(key::VARCHAR, 14) || '5' || substr(key::VARCHAR, 16, 4) || 'a' || right(key::VARCHAR, 16)"


def _moment(column: str) -> str:
    return f"left({iso(column)}, 19) || '.000Z'"


def frame(_: Dialect, context: Context) -> Layout:
    """The bundle, with the markings first."""
    identity = uuid.uuid5(NAMESPACE, json.dumps(["bundle", context.name, context.seq]))
    fixed = ",\n".join(json.dumps(marking(level), separators=(",", ":")) for level in range(len(MARKINGS)))
    head = f'{{"type":"bundle","id":"bundle--{identity}","objects":[\n{fixed}\n'
    return Layout(head.encode(), b"]}\n")


SPEC = Spec(
    "STIX 2.1 bundle",
    line,
    _TYPES,
    frame,
    media="application/stix+json;version=2.1",
    extension="json",
    shows=("confidence", "description", "since", "tags", "threat_types", "tlp", "valid_until"),
    cidrs=True,
    pages=None,
    limits="no references",
)
