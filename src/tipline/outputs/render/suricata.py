"""Suricata rules: an alert for each address, name asked for in DNS, and URL of plain HTTP.

Every rule costs Suricata memory and time; for long lists there are datasets (`v=suricata-dataset`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tipline.outputs.render.dialect import Dialect
from tipline.outputs.render.queries import order_of, union_of
from tipline.outputs.render.spec import (
    ADDRESSES,
    NAME,
    NUMBERS,
    Context,
    Part,
    Rows,
    Spec,
    address,
    simple_name,
    whole,
)

_FIRST_SID = 1_000_000
_MOST = 100_000
_LONGEST_NAME = 60
_URL = r"http://[a-z0-9._-]+(?::[0-9]+)?(?:/[A-Za-z0-9._~:/?\[\]@!$&()*+,;=%-]*)?(?:#[A-Za-z0-9._~:/?!&=%-]*)?"


def line(_: Dialect, type_: str) -> str:
    """SQL: a rule of a row up to its message's list; null if it cannot be written."""
    if type_ in ADDRESSES:
        return address(NUMBERS, "concat('alert ip $HOME_NET any <> [', value, '] any (msg:\"', value)")
    if type_ == "domain":
        matches = "'; dns.query; content:\"', value, '\"; nocase; bsize:', length(value)"
        return whole(NAME, f"concat('alert dns any any -> any any (msg:\"', value, '\"', {matches})", 253)
    return whole(_URL, f"concat('alert http any any -> any any (msg:\"', {_host()}, '\"', {_url_matches()})")


def _host() -> str:
    return r"regexp_extract(value, '^http://([^/:#]+)', 1)"


def _url_matches() -> str:
    path = r"regexp_extract(value, '^http://[^/#]+(/[^#]*)?', 1)"
    # What ends a pattern or a rule is written in hexadecimal.
    escaped = f"replace(replace({path}, ';', '|3B|'), ':', '|3A|')"
    uri = f"concat('; http.uri.raw; content:\"', {escaped}, '\"; bsize:', length({path}))"
    uri = f"CASE WHEN {path} = '' THEN '' ELSE {uri} END"
    return f"'; http.host; content:\"', {_host()}, '\"; bsize:', length({_host()}), {uri}"


def parts(dialect: Dialect, context: Context, rows: Rows) -> Sequence[Part]:
    """One query, since the numbers of the rules go on from type to type."""
    if not rows.types:
        return []
    name = simple_name(context.name, _LONGEST_NAME)
    first = int(dialect.option("sid", str(_FIRST_SID)))
    texts = union_of(SPEC, dialect, rows)
    best = "row_number() OVER (ORDER BY text IS NULL, trust DESC, seen DESC NULLS LAST, rank, value)"
    kept = f"SELECT * FROM (SELECT * REPLACE (CASE WHEN {best} <= {_MOST} THEN text END AS text) FROM ({texts}))"
    number = f"row_number() OVER (ORDER BY text IS NULL, {order_of(dialect)}) - 1 + {first}"
    message = f"regexp_replace(text, '(msg:\")([^\"]*)\"?', '\\1tipline {name}: \\2\"')"
    rule = f"concat({message}, '; sid:', {number}, '; rev:{max(context.seq, 1)};)', chr(10))"
    return [Part(f"SELECT CASE WHEN text IS NOT NULL THEN {rule} END FROM ({kept}) ORDER BY {order_of(dialect)}")]


SPEC = Spec(
    "Suricata, a rules file",
    line,
    (*ADDRESSES, "domain", "url"),
    extension="rules",
    cidrs=True,
    shows=("confidence", "last_seen"),
    most=_MOST,
    pages=False,
    parts=parts,
    limits="the 100,000 most trusted; numbers from `sid=` (usual: 1000000) on, not lasting; http URLs",
)
