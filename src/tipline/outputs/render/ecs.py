"""Elastic Common Schema: a document a line, with the fields that indicator match rules use."""

from __future__ import annotations

from tipline.outputs.render.dialect import Dialect
from tipline.outputs.render.fields import iso
from tipline.outputs.render.spec import Spec, level

_LEVELS = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
# Type: ECS's type, and the keys that lead to the value.
_KINDS = {
    "ipv4": ("ipv4-addr", ("ip",)),
    "ipv6": ("ipv6-addr", ("ip",)),
    "domain": ("domain-name", ("url", "domain")),
    "url": ("url", ("url", "full")),
    "email": ("email-addr", ("email", "address")),
    **{name: ("file", ("file", "hash", name)) for name in ("md5", "sha1", "sha256", "sha512", "ssdeep")},
    "file-name": ("file", ("file", "name")),
    "file-path": ("file", ("file", "path")),
    "registry-key": ("windows-registry-key", ("registry", "path")),
    "user-agent": ("user-agent", ("user_agent", "original")),
}


def line(_: Dialect, type_: str) -> str:
    """SQL: the document of a row; null for networks and ranges, which the type `ip` cannot hold."""
    word, keys = _KINDS[type_]
    opened, closed = "".join(f'"{key}":{{' for key in keys[:-1]), "}" * (len(keys) - 1)
    holds = f"concat('{opened}\"{keys[-1]}\":', to_json(value)::VARCHAR, '{closed}')"
    confidence = level("High", "Medium", "Low")
    levels = " ".join(f"WHEN {number} THEN '{name}'" for number, name in enumerate(_LEVELS))
    members = [
        f"',\"confidence\":\"' || {confidence} || '\"'",
        f'\',"marking":{{"tlp":"\' || CASE tlp {levels} END || \'"}}\'',
        "',\"provider\":' || to_json(sources)::VARCHAR",
        "',\"description\":' || to_json(description)::VARCHAR",
        "',\"reference\":' || to_json(refs[1])::VARCHAR",
        f"',\"first_seen\":\"' || {iso('first_seen')} || '\"'",
        f"',\"last_seen\":\"' || {iso('last_seen')} || '\"'",
    ]
    inside = ", ".join(members)
    document = (
        f'concat(\'{{"@timestamp":"\', {iso("coalesce(last_seen, since, added)")},'
        f' \'","event":{{"kind":"enrichment","category":["threat"],"type":["indicator"]}}\','
        " ',\"tags\":' || to_json(tags)::VARCHAR,"
        f' \',"threat":{{"indicator":{{"type":"{word}",\', {holds}, {inside}, \'}}}}}}\', chr(10))'
    )
    return (
        f"CASE WHEN lo IS NOT NULL AND NOT regexp_matches(value, '[/-]') THEN {document} END"
        if keys == ("ip",)
        else document
    )


SPEC = Spec(
    "Elasticsearch, documents a line (indicator match)",
    line,
    tuple(_KINDS),
    media="application/x-ndjson",
    extension="ndjson",
    shows=(
        "added",
        "confidence",
        "description",
        "first_seen",
        "last_seen",
        "refs",
        "since",
        "sources",
        "tags",
        "tlp",
    ),
    limits="single addresses only (an `ip` field holds no network)",
)
