"""What kind of indicator a text is, where its source does not say.

The common shapes (IPv4, URL with scheme, hash, plain host) are told by one cheap test each over the whole
column; what is left goes through an ordered list of patterns. Detection only picks the rule; whether the
value is accepted is the rule's to say, so `999.1.1.1` is detected as an address and then refused as one.

Never detected, because any text could be one: file name, mutex, user agent, command line, JA3 (it looks
like an MD5), certificate thumbprint (a SHA-1), UNIX path (`path-only`).
"""

from __future__ import annotations

import polars as pl

from tipline.model import hashes, hosts, others
from tipline.model.intervals import IPV4

_SCHEME = r"\A[A-Za-z][A-Za-z0-9+.-]*://"
_NAME = r"[^\s/@:|\\\"'<>]+"

#: Pattern on the refanged text, kind or (with `!`) reason; the first that matches decides.
_SHAPES: tuple[tuple[str, str], ...] = (
    (_SCHEME, "url"),
    (r"\A[0-9][0-9.]*\.[0-9.]*\z|\A[0-9][0-9.]*/[0-9.]+\z|\A[0-9.]+(?:[:|][0-9]+)+\z", "ip"),
    (r"\A[0-9]+(?:\.[0-9]+){3}\s*-\s*[0-9.]+\z", "ip"),
    (
        r"\A\[?[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?(?::[0-9]+|/[0-9]+|\s*-\s*[0-9A-Fa-f:.]+)?\z",
        "ip",
    ),
    (hashes.SEVERAL, "!several-values"),
    (r"\A[0-9A-Fa-f]{28,}\z|\A(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{128})\.[A-Za-z0-9]{1,8}\z", "hash"),
    (hashes.SSDEEP, "ssdeep"),
    (others.CVE, "cve"),
    (others.ASN, "asn"),
    (others.EMAIL, "email"),
    (r"\A/", "!path-only"),
    (hosts.REGEX, "!regular-expression"),
    (rf"\A(?:[^\s/?#]*@)?{_NAME}\.{_NAME}(?::[0-9]+)?[/?#]", "url"),
    (rf"\A{_NAME}[.。]{_NAME}(?:[:|][0-9]+)?\z|\A\*\.", "domain"),
)

#: The same on the trimmed, not refanged text, looked at first: refanging would spoil backslashes.
_LITERAL_SHAPES: tuple[tuple[str, str], ...] = (
    (others.REGISTRY_KEY, "registry-key"),
    (others.WINDOWS_PATH, "file-path"),
)


def common_kind(text: pl.Expr) -> pl.Expr:
    """Kind of the four common shapes; null for the rest. Texts are refanged."""
    url = text.str.contains("://", literal=True) & text.str.contains(r"\A(?i:https?|ftp)://")
    return (
        pl.when(text.str.contains(IPV4))
        .then(pl.lit("ip"))
        .when(url)
        .then(pl.lit("url"))
        .when(text.str.contains(hashes.ANY_HASH))
        .then(pl.lit("hash"))
        .when(hosts.is_plain_host(text))
        .then(pl.lit("domain"))
    )


def _first_match(text: pl.Expr, shapes: tuple[tuple[str, str], ...], otherwise: pl.Expr) -> pl.Expr:
    for pattern, outcome in reversed(shapes):
        otherwise = pl.when(text.str.contains(pattern)).then(pl.lit(outcome)).otherwise(otherwise)
    return otherwise


def rare_kind(text: pl.Expr, literal: pl.Expr) -> pl.Expr:
    """Kind of the other shapes, or a reason with `!` in front; never null.

    Args:
        text: refanged.
        literal: trimmed only.
    """
    refanged = _first_match(text, _SHAPES, pl.lit("!unknown-type"))
    return _first_match(literal, _LITERAL_SHAPES, refanged)
