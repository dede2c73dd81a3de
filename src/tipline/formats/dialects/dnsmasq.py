"""dnsmasq: names that are answered with nothing (`address=/x/`, `local=/x/`, `server=/x/`), or with nowhere."""

from __future__ import annotations

import polars as pl

from tipline.formats.dialects.rows import ALLOWED, LINE, REDIRECTED, RULE, Reader, not_meant, raw, reason, trimmed

# Key, the names between slashes, and what they are answered with.
_RULE = r"^(?i:-{0,2})(address|server|local)\s*=\s*/(.*)/([^/]*?)\s*$"


def reader(redirects: bool) -> Reader:
    """A reader of dnsmasq's configuration."""

    def read(lines: pl.DataFrame) -> pl.DataFrame:
        rules = trimmed(lines, "#").with_columns(rule=LINE.str.replace(r"\s+#.*$", ""))
        key, names, target = (pl.col("rule").str.extract(_RULE, group) for group in (1, 2, 3))
        each = rules.with_columns(key=key, name=names.str.split("/"), target=target).explode("name")
        return raw(each, pl.col("name").str.strip_prefix("."), _drop(redirects=redirects), type=pl.lit("domain"))

    return read


def _drop(*, redirects: bool) -> pl.Expr:
    key, name, target = pl.col("key"), pl.col("name"), pl.col("target")
    forwards = key != "address"
    elsewhere = not_meant(target, redirects=redirects)
    return reason(
        (key.is_null() | (name == "") | (name == "#"), RULE),
        (forwards & (target == "#"), ALLOWED),
        (forwards & (target != ""), RULE),
        (~forwards & ~target.is_in(["", "#"]) & elsewhere, REDIRECTED),
    )
