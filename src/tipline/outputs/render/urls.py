"""URLs for PAN-OS: MineMeld's `panosurl`, and the same for an external dynamic list of URLs with its limit.

The steps are MineMeld's (`feedredis.py`, generate_panosurl_feed); the rows of docs/reference/list-dialects.md
say what differs without compat=minemeld.
"""

from __future__ import annotations

from collections.abc import Sequence

from tipline.outputs.render.dialect import Dialect
from tipline.outputs.render.queries import order_of, union_of
from tipline.outputs.render.spec import LONGEST, URL, Context, Part, Rows, Spec

SCHEME = r"^(?:[a-z]+:)*//"
PARTIAL_STAR = r"(?:[^\./+=\?&]+\*[^\./+=\?&]*)|(?:[^\./+=\?&]*\*[^\./+=\?&]+)"
_PORT_THEN = r"^([a-z0-9\-\.]+)(?::[0-9]+)*"
_PORT = r"^([^/?#]*?):[0-9]+([/?#]|$)"
_BROAD = r"(?:\*\.)+[a-z]+(?::[0-9]+)?"
_LIMIT = 250_000


def let(name: str, value: str, body: str) -> str:
    """SQL: `body` with `name` bound to `value`."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def entry(dialect: Dialect, _: str) -> str:
    """SQL: a row's value as PAN-OS reads it, without a line feed; null if it is left out."""
    bare = f"regexp_replace(lower(value), '{SCHEME}', '')"
    port, rest = (_PORT_THEN, r"\1") if dialect.compat else (_PORT, r"\1\2")
    stripped = f"regexp_replace(b, '{port}', '{rest}')"
    starred = f"regexp_replace(p, '{PARTIAL_STAR}', '*', 'g')"
    return let("b", bare, let("p", stripped, let("s", starred, _kept(dialect))))


def _kept(dialect: Dialect) -> str:
    refused = [] if dialect.flag("sp") else ["b <> p"]
    if dialect.flag("di"):
        refused.append("s <> p")
    broad = f"regexp_full_match(split_part(s, '/', 1), '{_BROAD}')"
    refused.append(f"(s <> p AND {broad})" if dialect.compat else broad)
    if dialect.compat:
        refused.append("regexp_matches(s, '[\\x00-\\x1f]')")
    else:
        # Someone's password is no part of a URL that a firewall sees, and what is no URL matches nothing.
        refused += [
            f"length(s) > {LONGEST}",
            f"NOT regexp_full_match(s, '{URL}')",
            "contains(split_part(s, '/', 1), '@')",
        ]
    slash = "s" if dialect.flag("nsl") else "CASE WHEN contains(s, '/') THEN s ELSE s || '/' END"
    return f"CASE WHEN {' OR '.join(refused)} THEN NULL ELSE {slash} END"


def parts(dialect: Dialect, _: Context, rows: Rows) -> Sequence[Part]:
    """One query: `*.x` does not match `x` on PAN-OS, so that both are written; and each line once."""
    if not rows.types:
        return []
    texts = union_of(PANOSURL, dialect, rows)
    both = "CASE WHEN starts_with(text, '*.') THEN [substr(text, 3), text] ELSE [text] END"
    every = f"SELECT * REPLACE (unnest({both}) || chr(10) AS text) FROM ({texts})"
    order = f"{order_of(dialect)}, starts_with(text, '*.')"
    if dialect.compat:
        return [Part(f"SELECT text FROM ({every}) ORDER BY {order}")]
    once = (
        "SELECT text, min(rank) AS rank, max(seen) AS seen, max(trust) AS trust, min(value) AS value,"
        f" min(lo) AS lo, count(*) AS n FROM ({every}) GROUP BY text"
    )
    most = int(dialect.option("most", str(_LIMIT if dialect.format == "edl-url" else 0)))
    if most:
        best = "row_number() OVER (ORDER BY text IS NULL, trust DESC, seen DESC NULLS LAST, value, text)"
        once = f"SELECT * REPLACE (CASE WHEN {best} <= {most} THEN text END AS text) FROM ({once})"
    return [Part(f"SELECT text, n FROM ({once}) ORDER BY {order}")]


def _types(dialect: Dialect) -> tuple[str, ...] | None:
    return None if dialect.compat else ("domain", "url")


PANOSURL = Spec(
    "PAN-OS, as MineMeld wrote it",
    entry,
    _types,
    parts=parts,
    limits="an entry with a port is left out unless `sp=1`; `*.com` and the like are left out",
)
EDL = Spec(
    "PAN-OS external dynamic list of URLs",
    entry,
    ("domain", "url"),
    parts=parts,
    shows=("confidence", "last_seen"),
    most=_LIMIT,
    limits="250,000 entries (the largest models; `most=` sets another); as `panosurl` otherwise",
)
