"""The two frames: what a format yields (raw) and what normalising makes of it (claim)."""

from __future__ import annotations

import polars as pl

_TIME = pl.Datetime("us")
_LIST = pl.List(pl.String())

#: Columns of a raw frame, all String; only `value` is required. See `LIST_COLUMNS` for the exception.
RAW_COLUMNS: tuple[str, ...] = (
    "value",
    "type",
    "record",
    "confidence",
    "actionable",
    "tlp",
    "direction",
    "threat_types",
    "tags",
    "description",
    "references",
    "first_seen",
    "last_seen",
    "valid_until",
    "extra",
    "drop",
)

#: Raw columns that may be List(String) as well as String.
LIST_COLUMNS: tuple[str, ...] = ("threat_types", "tags", "references")

#: Time columns, read by `times.parse`.
TIME_COLUMNS: tuple[str, ...] = ("first_seen", "last_seen", "valid_until")

#: Columns of a claim frame, in order.
#:
#: `lo`, `up`: half-open interval of 128-bit addresses as 32 hex digits, IPv4 mapped to ::ffff:a.b.c.d; for
#: ipv4, ipv6 and URLs whose host is an address. The `up` of an interval that ends with the very last IPv6
#: address would need a 129th bit and is 32 f's, so that one address lies outside its own interval. `rhost`:
#: host reversed with trailing dot (`com.example.www.`); for domain and URLs whose host is a name. `tlp`: 0
#: clear, 1 green, 2 amber, 3 amber+strict, 4 red. `confidence`: 0 to 100. Times: UTC without zone. `raw`:
#: the value as it came, cut at `RAW_LENGTH` characters. `value` is `raw` where `drop` is set.
CLAIM_SCHEMA = pl.Schema(
    {
        "record": pl.String(),
        "type": pl.String(),
        "value": pl.String(),
        "lo": pl.String(),
        "up": pl.String(),
        "rhost": pl.String(),
        "confidence": pl.UInt8(),
        "actionable": pl.Boolean(),
        "tlp": pl.UInt8(),
        "direction": pl.String(),
        "threat_types": _LIST,
        "tags": _LIST,
        "description": pl.String(),
        "references": _LIST,
        "first_seen": _TIME,
        "last_seen": _TIME,
        "valid_until": _TIME,
        "extra": pl.String(),
        "drop": pl.String(),
        "raw": pl.String(),
    }
)

#: Characters of the original value kept beside a claim.
RAW_LENGTH = 500
