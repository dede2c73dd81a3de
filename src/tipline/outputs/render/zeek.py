r"""Zeek's intelligence framework: tab-separated, with Zeek's names of the types.

Zeek reads `\xNN` as a character; a backslash is written so. A value that starts with `#` would be a comment,
and `-` alone means none: both are left out.
"""

from __future__ import annotations

from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import BIDI, CONTROL
from tipline.outputs.render.spec import ADDRESSES, Context, Spec

_KINDS = {
    "ipv4": "Intel::ADDR",
    "ipv6": "Intel::ADDR",
    "domain": "Intel::DOMAIN",
    "url": "Intel::URL",
    "email": "Intel::EMAIL",
    "md5": "Intel::FILE_HASH",
    "sha1": "Intel::FILE_HASH",
    "sha256": "Intel::FILE_HASH",
    "file-name": "Intel::FILE_NAME",
    "user-agent": "Intel::SOFTWARE",
    "certificate-sha1": "Intel::CERT_HASH",
}


def frame(_: Dialect, __: Context) -> Layout:
    """The line that names the columns."""
    return Layout(b"#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\n", b"")


def line(_: Dialect, type_: str) -> str:
    """SQL: the record of a row; null if its value would break it."""
    value, kind = "value", f"'{_KINDS[type_]}'"
    if type_ == "url":
        value = "regexp_replace(value, '^[A-Za-z][A-Za-z0-9+.-]*://', '')"
    elif type_ in ADDRESSES:
        kind = "CASE WHEN contains(value, '/') THEN 'Intel::SUBNET' ELSE 'Intel::ADDR' END"
    source, text = _words("array_to_string(sources, ' ')"), _words("description")
    record = f"concat(replace({value}, '\\', '\\x5c'), chr(9), {kind}, chr(9), {source}, chr(9), {text}, chr(10))"
    real = "lo IS NOT NULL AND " if type_ in ADDRESSES else ""
    return f"CASE WHEN {real}NOT regexp_matches(value, '[{CONTROL}]|^#|^-?$|^\\(empty\\)$') THEN {record} END"


def _words(text: str) -> str:
    """SQL: a cell of free text; `-` if there is none."""
    clean = f"replace(regexp_replace({text}, '[{CONTROL}{BIDI}]', ' ', 'g'), '\\', '\\x5c')"
    return f"coalesce(nullif(trim({clean}), ''), '-')"


SPEC = Spec(
    "Zeek, an intelligence file",
    line,
    tuple(_KINDS),
    frame,
    extension="intel",
    shows=("description", "sources"),
    cidrs=True,
    limits="URLs without their scheme; SHA-512 is not known there",
)
