"""Response policy zones: owners are triggers, records are what is answered instead.

Taken are names and addresses (`rpz-ip`) that are answered with nothing (`CNAME .`, `CNAME *.`, `rpz-drop`) or with
nowhere (`A 0.0.0.0`). `rpz-passthru` is an exception; name servers and clients (`rpz-nsdname`, `rpz-nsip`,
`rpz-client-ip`) say nothing of a value itself. The zone's own records (SOA, NS, its key and signatures) are no rows.
"""

from __future__ import annotations

import polars as pl

from tipline.formats.dialects.rows import ALLOWED, LINE, REDIRECTED, RULE, not_meant, raw, reason

_RECORD = r"^(\S*)\s+(?:(?:\d+[\dsmhdwSMHDW]*|(?i:IN|CH|HS))\s+)*([A-Za-z][A-Za-z0-9]*)\s+(.*?)\s*$"
_SIGNING = ("DNSKEY", "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "CDS", "CDNSKEY")
_TRIGGER = r"\.rpz-(?:nsdname|nsip|client-ip)$"
_BLOCK = (".", "*.", "rpz-drop")


class Zone:
    """A reader of one zone; what stands for several records goes from block to block.

    Args:
        redirects: whether names that are answered with something else are meant.
    """

    def __init__(self, redirects: bool) -> None:
        self.redirects = redirects
        self.owner = "@"
        self.origin = ""
        self.zone = ""
        self.depth = 0

    def __call__(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Rows of the next lines."""
        records = self._records(lines)
        if records.is_empty():
            return pl.DataFrame(schema={"value": pl.String, "drop": pl.String})
        directive = pl.col("text").str.starts_with("$")
        origin = pl.col("text").str.extract(r"(?i)^\$ORIGIN\s+(\S+)", 1)
        parts = records.with_columns(
            origin=origin.forward_fill().fill_null(self.origin),
            owner=pl.when(~directive).then(pl.col("text").str.extract(_RECORD, 1).replace("", None)),
            kind=pl.col("text").str.extract(_RECORD, 2).str.to_uppercase(),
            data=pl.col("text").str.extract(_RECORD, 3),
        ).with_columns(pl.col("owner").forward_fill().fill_null(self.owner))
        self.origin, self.owner = parts["origin"][-1], parts["owner"][-1]
        plain = parts.filter(~directive | pl.col("text").str.contains(r"(?i)^\$(?:INCLUDE|GENERATE)\b"))
        self._name(plain)
        named = plain.with_columns(name=self._relative())
        return self._judged(
            named.filter(~((pl.col("name") == "@") | pl.col("kind").is_in(_SIGNING).fill_null(value=False)))
        )

    def _records(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Lines that begin a record, without comments; those within parentheses belong to the record before."""
        bare = LINE.str.strip_chars("\ufeff\r\n").str.replace_all(r'"[^"]*"', '""').str.replace(r";.*$", "")
        text = lines.with_columns(text=bare.str.strip_chars_end())
        opened, closed = (pl.col("text").str.count_matches(mark).cast(pl.Int64) for mark in (r"\(", r"\)"))
        turns = opened - closed
        counted = text.with_columns(after=turns.cum_sum() + self.depth)
        counted = counted.with_columns(before=pl.col("after").shift(1, fill_value=self.depth))
        if counted.height:
            self.depth = max(int(counted["after"][-1]), 0)
        return counted.filter((pl.col("before") <= 0) & (pl.col("text").str.strip_chars() != "")).select("line", "text")

    def _name(self, records: pl.DataFrame) -> None:
        """Learn the zone's name, which absolute owners end with, from its SOA record."""
        soa = records.filter(pl.col("kind") == "SOA")
        if self.zone or soa.is_empty():
            return
        owner, origin = soa["owner"][0], soa["origin"][0]
        self.zone = (owner if owner.endswith(".") else origin).rstrip(".").lower()

    def _relative(self) -> pl.Expr:
        """Owners as they stand within the zone: without its name, and below the origin in force."""
        owner = pl.col("owner").str.to_lowercase()
        origin = pl.col("origin").str.strip_chars_end(".").str.to_lowercase()
        under = pl.when(origin == "").then(owner).otherwise(owner + "." + origin)
        full = (
            pl.when(owner.str.ends_with("."))
            .then(owner.str.strip_chars_end("."))
            .when(owner == "@")
            .then(origin)
            .otherwise(under)
        )
        if not self.zone:
            return pl.when(full == "").then(pl.lit("@")).otherwise(full)
        inner = pl.when(full.is_in([self.zone, ""])).then(pl.lit("@")).otherwise(full)
        return inner.str.strip_suffix("." + self.zone)

    def _judged(self, records: pl.DataFrame) -> pl.DataFrame:
        name, kind = pl.col("name"), pl.col("kind")
        target = pl.when(pl.col("data").is_in([".", "*."])).then("data").otherwise(pl.col("data").str.strip_suffix("."))
        target = target.str.to_lowercase()
        alias, address = kind == "CNAME", kind.is_in(["A", "AAAA"])
        is_ip = name.str.ends_with(".rpz-ip")
        drop = reason(
            (alias & ((target == "rpz-passthru") | (target == name)), ALLOWED),
            (name.str.contains(_TRIGGER) | pl.col("text").str.starts_with("$"), RULE),
            (kind.is_not_null() & ~alias & ~address, RULE),
            (alias & (target == "rpz-tcp-only"), RULE),
            (alias & ~target.is_in(_BLOCK) & pl.lit(not self.redirects), REDIRECTED),
            (address & not_meant(target, redirects=self.redirects), REDIRECTED),
        )
        value = pl.when(kind.is_null()).then(None).when(is_ip).then(_address(name)).otherwise(name)
        return raw(records, value, drop, type=pl.when(is_ip).then(pl.lit("ip")).otherwise(pl.lit("domain")))


def _address(name: pl.Expr) -> pl.Expr:
    """The network of `24.0.2.0.192.rpz-ip` or `48.zz.db8.2001.rpz-ip`, whose groups stand in reverse."""
    parts = name.str.strip_suffix(".rpz-ip").str.split(".")
    groups = parts.list.slice(1).list.reverse()
    six = groups.list.contains("zz") | (groups.list.len() == 8)
    joined = groups.list.join(":").str.replace(r"\bzz\b", "")
    text = joined.str.replace(r"^:([^:]|$)", "::$1").str.replace(r"([^:]):$", "$1::")
    return pl.when(six).then(text).otherwise(groups.list.join(".")) + "/" + parts.list.first()
