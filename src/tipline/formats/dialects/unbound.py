"""Unbound: `local-zone` with a type that refuses, and `local-data` that leads nowhere."""

from __future__ import annotations

import polars as pl

from tipline.formats.dialects.rows import ALLOWED, LINE, REDIRECTED, RULE, Reader, not_meant, raw, reason, trimmed

_ZONE = r"""^local-zone:\s*["']?([^"'\s]+?)\.?["']?\s+["']?([a-z_]+)"""
_DATA = r"""^local-data:\s*["']?([^"'\s]+?)\.?\s+(?:\d+\s+)?(?:(?i:IN)\s+)?(?i:A|AAAA)\s+([0-9A-Fa-f:.]+)"""
# `redirect` says nothing by itself: its local-data does.
_REFUSING = (
    "deny", "refuse", "static", "always_refuse", "always_nxdomain", "always_nodata", "always_deny", "always_null",
    "inform_deny", "block_a",
)  # fmt: skip
_OPEN = ("transparent", "typetransparent", "always_transparent", "inform", "nodefault")


def reader(redirects: bool) -> Reader:
    """A reader of Unbound's configuration."""

    def read(lines: pl.DataFrame) -> pl.DataFrame:
        rules = trimmed(lines, "#").filter(LINE != "server:")
        parts = rules.with_columns(
            zone=LINE.str.extract(_ZONE, 1),
            action=LINE.str.extract(_ZONE, 2),
            name=LINE.str.extract(_DATA, 1),
            target=LINE.str.extract(_DATA, 2),
        )
        return raw(parts, pl.coalesce("zone", "name"), _drop(redirects=redirects), type=pl.lit("domain"))

    return read


def _drop(*, redirects: bool) -> pl.Expr:
    action, target = pl.col("action"), pl.col("target")
    refusing = action.is_in(_REFUSING)
    return reason(
        (action.is_in(_OPEN), ALLOWED),
        (action.is_not_null() & ~refusing, RULE),
        (action.is_null() & target.is_null(), RULE),
        (action.is_null() & not_meant(target, redirects=redirects), REDIRECTED),
    )
