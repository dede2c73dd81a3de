"""Check Point custom intelligence feed: CSV in its own format (sk132193)."""

from __future__ import annotations

from tipline.outputs.render.addresses import first_to_last
from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import BIDI, CONTROL
from tipline.outputs.render.spec import HEX, NAME, RANGE, URL, Context, Spec, address, level, whole

_MAIL = r"[A-Za-z0-9._+-]+@[A-Za-z0-9._-]+"
# Type: how its values look, what Check Point calls it, and the blade that uses it.
_KINDS = {
    "ipv4": (RANGE, "IP", "AB"),
    "domain": (NAME, "Domain", "AB"),
    "url": (URL, "URL", "AV"),
    "md5": (HEX, "MD5", "AV"),
    "sha1": (HEX, "SHA1", "AV"),
    "sha256": (HEX, "SHA256", "AV"),
    "email": (_MAIL, "Mail-from", "AV"),
}


def frame(_: Dialect, __: Context) -> Layout:
    """The header, which is a comment there."""
    return Layout(b"#UNIQ-NAME,VALUE,TYPE,CONFIDENCE,SEVERITY,PRODUCT,COMMENT\n", b"")


def line(_: Dialect, type_: str) -> str:
    """SQL: the record of a row; null if it cannot be written."""
    pattern, word, blade = _KINDS[type_]
    value, kind = "CASE WHEN contains(value, ',') THEN '\"' || value || '\"' ELSE value END", f"'{word}'"
    if type_ == "ipv4":
        several = "regexp_matches(value, '[/-]')"
        value = f"CASE WHEN {several} THEN {first_to_last()} ELSE value END"
        kind = f"CASE WHEN {several} THEN 'IP Range' ELSE 'IP' END"
    words = "coalesce(array_to_string(threat_types, ' '), '')"
    comment = f"regexp_replace({words}, '[{CONTROL}{BIDI},\\x22#]', ' ', 'g')"
    cells = ["'tipline' || kh", value, kind, level("high", "medium", "low"), f"'medium,{blade}'", comment]
    fits = address if type_ == "ipv4" else whole
    return fits(pattern, f"concat({', chr(44), '.join(cells)}, chr(10))")


SPEC = Spec(
    "Check Point, custom intelligence feed",
    line,
    tuple(_KINDS),
    frame,
    media="text/csv; charset=utf-8",
    extension="csv",
    shows=("confidence", "threat_types"),
    limits="IPv4 networks as ranges; severity is always medium; 2 million observables from R81.20 on",
)
