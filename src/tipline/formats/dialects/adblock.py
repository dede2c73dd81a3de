"""Filter lists of AdGuard, Pi-hole, uBlock Origin and others: what a rule blocks as a whole.

Taken are whole names (`||a.example^`, `|a.example^`, a bare name, a hosts line) and whole URLs (`|https://…|`).
`@@` and `$badfilter` let through; rules on paths, elements of pages, patterns and conditions name no value.
"""

from __future__ import annotations

import polars as pl

from tipline.formats.dialects import hosts
from tipline.formats.dialects.rows import ADDRESS, ALLOWED, LINE, RULE, Reader, raw, reason, trimmed

# A name alone or between anchors; a URL between anchors.
_NAME = r"^(?:\|\|?)?([^\s/|^$:,=&?~!@#\[\]]+\.[^\s/|^$:,=&?~!@#\[\]]+|\[[0-9A-Fa-f:.]+\])(?:\^\|?|\|)?$"
_URL = r"^\|((?i:https?|ftp)://[^\s*^|]+)\|$"
_OPTIONS = r"\$((?:~?[A-Za-z0-9_-]+(?:=[^,]*)?)(?:,~?[A-Za-z0-9_-]+(?:=[^,]*)?)*)$"
_ELEMENT = r"#[@?$%]{0,3}#|\$\$|\$@\$"
_COMMENT = r"^(?:!|\[[^\]]*\]$|#(?:[^#@?$%]|$)|#+$|#{3,})"
# Options that narrow nothing for those who look a name up (as AdGuard's list compiler has it).
_HARMLESS = ("third-party", "3p", "document", "doc", "all", "popup", "network", "important")


def reader(redirects: bool) -> Reader:
    """A reader of filter lists."""

    def read(lines: pl.DataFrame) -> pl.DataFrame:
        rules = trimmed(lines).filter(~LINE.str.contains(_COMMENT))
        first = LINE.str.extract(r"^(\S+)\s+[^\s#]")
        as_hosts = first.str.contains(ADDRESS).fill_null(value=False)
        named = rules.filter(as_hosts)
        found = _rules(rules.filter(~as_hosts))
        return pl.concat([found, hosts.entries(named, redirects=redirects)], how="diagonal") if len(named) else found

    return read


def _rules(rules: pl.DataFrame) -> pl.DataFrame:
    element = LINE.str.contains(_ELEMENT)
    without = LINE.str.replace(_OPTIONS, "")
    options = pl.when(~element & ~LINE.str.starts_with("/")).then(LINE.str.extract(_OPTIONS, 1))
    parts = rules.with_columns(
        element=element,
        options=options.str.to_lowercase().str.split(","),
        rule=pl.when(options.is_null()).then(LINE).otherwise(without).str.replace(r"\s+#.*$", ""),
    )
    rule, chosen = pl.col("rule"), pl.col("options")
    narrowed = (chosen.list.set_difference(list(_HARMLESS)).list.len() > 0).fill_null(value=False)
    name, url = rule.str.extract(_NAME, 1), rule.str.extract(_URL, 1)
    drop = reason(
        (LINE.str.starts_with("@@") | chosen.list.contains("badfilter").fill_null(value=False), ALLOWED),
        (pl.col("element") | narrowed, RULE),
        (rule.str.contains(r"^/.*/$"), "regular-expression"),
        (name.is_null() & url.is_null(), RULE),
        (name.str.contains(r"\*").fill_null(value=False), "wildcard"),
    )
    type_ = pl.when(url.is_not_null()).then(pl.lit("url")).when(~name.str.contains(ADDRESS)).then(pl.lit("domain"))
    return raw(parts, pl.coalesce(url, name.str.strip_chars("[]")), drop, type=type_)
