"""Wazuh CDB lists: `key:value` lines; the value is the type of the indicator.

A key with a colon stands in quotes. Networks are written as Wazuh matches them, by whole octets
(`192.168.`), which only /8, /16 and /24 can be.
"""

from __future__ import annotations

from tipline.outputs.render.dialect import Dialect
from tipline.outputs.render.fields import CONTROL
from tipline.outputs.render.spec import ADDRESSES, HASHES, Spec

_OCTETS = " ".join(
    f"WHEN ends_with(value, '/{bits}') THEN regexp_extract(value, '^((?:[0-9]+\\.){{{bits // 8}}})', 1)"
    for bits in (8, 16, 24)
)


def line(_: Dialect, type_: str) -> str:
    """SQL: the record of a row; null if it cannot be a key."""
    key = "value"
    if type_ in ADDRESSES:
        key = f"CASE WHEN NOT contains(value, '/') THEN value {_OCTETS if type_ == 'ipv4' else ''} END"
    quoted = f"CASE WHEN contains(value, ':') THEN '\"' || value || '\"' ELSE {key} END"
    if type_ == "ipv6":
        quoted = f"CASE WHEN NOT contains(value, '/') THEN {quoted} END"
    fits = f"NOT regexp_matches(value, '[{CONTROL}\\x22]') AND value <> ''"
    if type_ in ADDRESSES:
        fits += " AND lo IS NOT NULL"
    return f"CASE WHEN {fits} THEN {quoted} || ':{type_}' || chr(10) END"


SPEC = Spec(
    "Wazuh, a CDB list",
    line,
    (*ADDRESSES, "domain", "url", "email", *HASHES),
    cidrs=True,
    limits="IPv4 networks of whole octets (ranges are cut first); no IPv6 networks; type as the value",
)
