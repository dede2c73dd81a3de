"""Hosts files: an address, then names. The names are taken where the address leads nowhere."""

from __future__ import annotations

import polars as pl

from tipline.formats.dialects.rows import ADDRESS, LINE, REDIRECTED, Reader, not_meant, raw, reason, trimmed

_LOCAL_NAMES = (
    "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback",
    "ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "localhost4",
    "localhost6", "localhost4.localdomain4", "localhost6.localdomain6",
)  # fmt: skip


def reader(redirects: bool) -> Reader:
    """A reader of hosts files."""

    def read(lines: pl.DataFrame) -> pl.DataFrame:
        return entries(trimmed(lines, "#"), redirects=redirects)

    return read


def entries(lines: pl.DataFrame, *, redirects: bool) -> pl.DataFrame:
    """Rows of the lines of a hosts file; the names of this machine and its network are none."""
    split = lines.with_columns(words=LINE.str.replace(r"#.*$", "").str.extract_all(r"\S+"))
    words = pl.col("words")
    whole = (words.list.len() > 1) & words.list.first().str.contains(ADDRESS)
    names = (
        split.filter(whole)
        .with_columns(address=words.list.first(), name=words.list.slice(1))
        .explode("name")
        .filter(~pl.col("name").str.to_lowercase().is_in(_LOCAL_NAMES) & ~pl.col("name").str.contains(ADDRESS))
    )
    drop = reason((not_meant(pl.col("address"), redirects=redirects), REDIRECTED))
    found = raw(names, pl.col("name"), drop, type=pl.lit("domain"))
    bad = split.filter(~whole & (words.list.len() > 0))
    return pl.concat([found, raw(bad, pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.String))], how="diagonal")
