"""ipset: what `ipset save` writes (`add NAME 192.0.2.0/24`), and bare addresses as in FireHOL's netsets."""

from __future__ import annotations

import polars as pl

from tipline.formats.dialects.rows import ADDRESS, ALLOWED, LINE, RULE, raw, reason, trimmed

_ENTRY = r"^-{0,2}(?:add|A)\s+\S+\s+(\S+)(.*)$"
_BARE = r"^([0-9A-Fa-f:.]+(?:/\d+|-[0-9A-Fa-f:.]+)?)\s*(?:[#;].*)?$"
_COMMAND = r"^-{0,2}(?:create|flush|swap|destroy|rename|quit|N|F|W|X|COMMIT)\b"
_COMMENT = r'\bcomment\s+"([^"]*)"'


def entries(lines: pl.DataFrame) -> pl.DataFrame:
    """Rows of entries; commands that make, empty or swap sets are none."""
    kept = trimmed(lines, "#", ";").filter(~LINE.str.contains(_COMMAND))
    entry, rest = LINE.str.extract(_ENTRY, 1), LINE.str.extract(_ENTRY, 2)
    parts = kept.with_columns(value=pl.coalesce(entry, LINE.str.extract(_BARE, 1)), rest=rest)
    value = pl.col("value")
    drop = reason(
        (pl.col("rest").str.contains(r"\bnomatch\b").fill_null(value=False), ALLOWED),
        (~value.str.replace(r"[/-].*$", "").str.contains(ADDRESS).fill_null(value=True), RULE),
    )
    return raw(parts, value, drop, description=pl.col("rest").str.extract(_COMMENT, 1))
