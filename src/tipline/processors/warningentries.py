"""The entries of a warning list, made ready for matching: values, hosts, networks and expressions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import duckdb
import polars as pl

from tipline.formats.pcre import plain
from tipline.formats.warning_list import HOSTS, WarningListText
from tipline.model.addresses import bounds, interval
from tipline.model.hosts import canonical_host, reverse_host
from tipline.model.intervals import IPV4_ONLY, mapped_bounds, numbers, quads

_MOST_PATTERNS = 20_000  # entries of a list of type substring or regex
_LONGEST = 2000  # characters of an entry that is looked for in others
_PER_PATTERN = 200  # substrings that one expression looks for
_SAMPLES = 5
_NETWORKS = {"family": pl.UInt8, "lo": pl.String, "up": pl.String}


@dataclass
class Compiled:
    """A list ready for matching: frames of the columns named, and what could not be used.

    Attributes:
        exact: value.
        hosts: rhost.
        networks: family (4, 6), lo, up (hex digits of UUIDs, half-open).
        patterns: pattern (RE2).
        refused: how many entries could not be used, with `samples` of them.
    """

    exact: pl.DataFrame
    hosts: pl.DataFrame
    networks: pl.DataFrame
    patterns: pl.DataFrame
    refused: int = 0
    samples: list[str] = field(default_factory=list)


def compiled(text: WarningListText) -> Compiled:
    """Make a list's entries ready for matching."""
    exact: list[str] = []
    hosts: list[str] = []
    nets: list[pl.DataFrame] = []
    odd: list[tuple[int, str, str]] = []
    patterns: list[str] = []
    bad: list[str] = []
    if not text.types:
        pass
    elif text.match == "string":
        below = bool(HOSTS & set(text.types))
        for entry in text.entries:
            if below and entry.startswith((".", "*.")):
                _host(entry, hosts, bad)
            else:
                exact += {entry, entry.lower()}
    elif text.match == "hostname":
        for entry in text.entries:
            _host(entry, hosts, bad)
    elif text.match == "cidr":
        plain_v4, others = _addresses(text.entries)
        nets.append(plain_v4)
        for entry in others:
            span = interval(entry)
            if isinstance(span, str):
                bad.append(entry)
            else:
                odd.append((span.family, *bounds(span)))
    else:
        good = _substrings(text.entries, bad) if text.match == "substring" else _regexes(text.entries, bad)
        patterns.extend(good)
    return Compiled(
        exact=pl.DataFrame({"value": exact}, schema={"value": pl.String}).unique(),
        hosts=pl.DataFrame({"rhost": hosts}, schema={"rhost": pl.String}).unique(),
        networks=pl.concat([*nets, pl.DataFrame(odd, schema=_NETWORKS, orient="row")]),
        patterns=pl.DataFrame({"pattern": patterns}, schema={"pattern": pl.String}),
        refused=len(bad),
        samples=bad[:_SAMPLES],
    )


def _addresses(entries: Iterable[str]) -> tuple[pl.DataFrame, list[str]]:
    """Networks of the plain IPv4 addresses among entries (many, in the large lists), and the other entries."""
    texts = pl.Series(entries, dtype=pl.String).str.strip_suffix("/32")
    plain = texts.str.contains(IPV4_ONLY)
    first = quads(numbers(texts.filter(plain), 4))
    lo, up = mapped_bounds(first, first)
    made = pl.DataFrame({"lo": lo, "up": up}).select(pl.lit(4, dtype=pl.UInt8).alias("family"), "lo", "up")
    return made, texts.filter(~plain).to_list()


def _host(entry: str, hosts: list[str], bad: list[str]) -> None:
    host = canonical_host(entry.removeprefix("*").removeprefix("."))
    if host is None:
        bad.append(entry)
    else:
        hosts.append(reverse_host(host))


def _substrings(entries: Iterable[str], bad: list[str]) -> list[str]:
    """Expressions that each look for some of the entries, whatever their case."""
    good: list[str] = []
    for entry in entries:
        (good if len(entry) <= _LONGEST and len(good) < _MOST_PATTERNS else bad).append(entry)
    chunks = [good[at : at + _PER_PATTERN] for at in range(0, len(good), _PER_PATTERN)]
    return ["(?i)" + "|".join(map(_escaped, chunk)) for chunk in chunks]


def _escaped(text: str) -> str:
    """A text as an expression of RE2's: everything but letters and digits stands for itself."""
    return "".join(char if char.isalnum() or ord(char) > 127 else f"\\x{{{ord(char):x}}}" for char in text)


def _regexes(entries: Iterable[str], bad: list[str]) -> list[str]:
    """Expressions that RE2 takes: linear in time, whatever is in them."""
    good: list[str] = []
    with duckdb.connect(":memory:") as con:
        for entry in entries:
            # PHP's `g` says nothing about whether something matches.
            body, slash, flags = entry.rpartition("/")
            expression = plain(f"{body}{slash}{flags.replace('g', '')}") if slash else None
            expression = entry if expression is None and not entry.startswith("/") else expression
            if len(entry) <= _LONGEST and len(good) < _MOST_PATTERNS and expression and _is_re2(con, expression):
                good.append(expression)
            else:
                bad.append(entry)
    return good


def _is_re2(con: duckdb.DuckDBPyConnection, expression: str) -> bool:
    try:
        con.execute("SELECT regexp_matches('x', ?)", [expression]).fetchone()
    except duckdb.Error:
        return False
    return True
