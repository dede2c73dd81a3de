"""Warning lists: which rows stand on which lists, held against MISP's rules written out in Python."""

from __future__ import annotations

import ipaddress
import json
import random
from typing import Any
from urllib.parse import urlsplit

import duckdb
import polars as pl
import pytest

from tipline.formats.warning_list import read
from tipline.model.normalise import conform
from tipline.model.policy import Policy
from tipline.processors.warningentries import compiled
from tipline.processors.warningsql import STEM, Entries, hits, merge_networks, segments

VALUES = [
    *(f"8.8.4.{n}" for n in range(8)), "8.8.4.0/30", "8.8.4.0/31", "8.8.4.2/31", "8.8.0.0/16", "8.8.4.3-8.8.4.6",
    "2600::1", "2600::/126", "0.0.0.0/4", "evil.com", "www.evil.com", "a.b.evil.com", "notevil.com", "evil.co.uk",
    "http://evil.com/x", "https://www.evil.com:8443/", "http://8.8.4.4/y", "d41d8cd98f00b204e9800998ecf8427e",
    "abuse@evil.com", "someone@evil.com", "Invoice.pdf", "https://t.co/EVIL",
]  # fmt: skip
ENTRIES: dict[str, list[str]] = {
    "string": [
        "evil.com", "www.evil.com", ".evil.com", "8.8.4.4", "D41D8CD98F00B204E9800998ECF8427E", "8.8.4.0/30",
        "http://evil.com/x", "Invoice.pdf", "abuse@evil.com",
    ],
    "hostname": ["evil.com", "b.evil.com", "com", "*.evil.co.uk", "www.evil.com.", "bad host"],
    "cidr": [
        "8.8.4.0/30", "8.8.4.0/31", "8.8.4.2/31", "8.8.4.4", "8.8.0.0/16", "2600::/64", "0.0.0.0/0", "8.8.4.5/24",
        "8.8.4.3/32", "300.1.1.1",
    ],
    "substring": ["evil", "t.co/", "8.4", "a|b", ".*"],
    "regex": ["/^(abuse|noc)@.*$/i", "/evil\\.(com|org)/", "^8\\.8", "/(?=x)y/", "/(a+)+$/"],
}  # fmt: skip
ATTRIBUTES = ["ip-src", "ip-dst", "domain", "hostname", "url", "md5", "email-src", "filename", "domain|ip"]
OURS = {
    "ip-src": {"ipv4", "ipv6"}, "ip-dst": {"ipv4", "ipv6"}, "domain": {"domain"}, "hostname": {"domain"},
    "url": {"url"}, "md5": {"md5"}, "email-src": {"email"}, "filename": {"file-name", "file-path"},
}  # fmt: skip


def body(match: str, entries: list[str], attributes: list[str]) -> bytes:
    found: dict[str, Any] = {"name": "n", "description": "d", "version": 1, "type": match, "list": entries}
    if attributes:
        found["matching_attributes"] = attributes
    return json.dumps(found).encode()


def on_list(type_: str, value: str, match: str, entries: list[str], types: set[str] | None) -> bool:
    """MISP's rules, one value and one list."""
    if types is not None and type_ not in types:
        return False
    host = urlsplit(value).hostname or "" if type_ == "url" else value if type_ == "domain" else ""
    if match == "hostname" or (match == "string" and (types is None or types & {"domain", "url"})):
        wide = [e for e in entries if match == "hostname" or e.startswith(".")]
        names = [e.removeprefix("*").strip(".") for e in wide]
        if host and any(host == name or host.endswith(f".{name}") for name in names):
            return True
    if match == "string":
        return value in entries or value in {e.lower() for e in entries}
    if match == "cidr":
        return type_ in {"ipv4", "ipv6"} and _in_networks(value, entries)
    if match == "substring":
        return any(entry.lower() in value.lower() for entry in entries)
    plain = {
        "/^(abuse|noc)@.*$/i": lambda v: v.startswith(("abuse@", "noc@")),
        "/evil\\.(com|org)/": lambda v: "evil.com" in v or "evil.org" in v,
        "^8\\.8": lambda v: v.startswith("8.8"),
        "/(a+)+$/": lambda v: v.endswith("a"),
    }
    return match == "regex" and any(plain[entry](value) for entry in entries if entry in plain)


def _in_networks(value: str, entries: list[str]) -> bool:
    """Whether every address of a value is in one of the networks (touching ones count as one)."""
    nets = []
    for entry in entries:
        try:
            nets.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            continue
    first, _, last = value.partition("-")
    ends = ipaddress.ip_network(first), ipaddress.ip_network(last or first)
    lo, up = int(ends[0][0]), int(ends[1][-1])
    same = sorted((int(n[0]), int(n[-1])) for n in nets if n.version == ends[0].version)
    for start, end in same:
        if start <= lo <= end:
            lo = end + 1
        if lo > up:
            return True
    return False


@pytest.mark.parametrize("seed", range(40))
def test_rows_stand_on_the_lists_that_misps_rules_say(seed: int) -> None:
    """Lists of every type and of several types of indicator at once, with entries that cannot be used among them."""
    chance = random.Random(seed)
    con = _with_rows()
    lists, asked = {}, {}
    for number in range(1, chance.randrange(2, 7)):
        match = chance.choice(list(ENTRIES))
        entries = chance.sample(ENTRIES[match], chance.randrange(1, len(ENTRIES[match])))
        attributes = chance.sample(ATTRIBUTES, chance.randrange(len(ATTRIBUTES)))
        names = [name for name in attributes if name != "domain|ip"]
        types = {ours for name in names for ours in OURS[name]} if names else {"domain", "ipv4", "ipv6"}
        asked[number] = (match, entries, types if attributes else None)
        lists[number] = _put(con, number, read(body(match, entries, attributes), "n"))
    con.execute(f"INSERT INTO warning_segments {segments('warning_networks')}")
    query = hits("rows", lists)
    found = set(
        con.execute(f"SELECT value, type, list FROM rows JOIN ({query}) USING (key)").fetchall() if query else ()
    )
    wanted = {
        (value, type_, number)
        for value, type_ in con.execute("SELECT value, type FROM rows").fetchall()
        for number, (match, entries, types) in asked.items()
        if on_list(type_, value, match, entries, types)
    }
    assert found == wanted, asked


def test_no_join_compares_every_row_with_every_entry() -> None:
    """Nested loops and plain inequalities would not end at a million rows."""
    con = _with_rows()
    con.execute("SET asof_loop_join_threshold = 0")
    lists = {
        number: _put(con, number, read(body(match, entries, []), "n"))
        for number, (match, entries) in enumerate(ENTRIES.items(), 1)
    }
    con.execute(f"INSERT INTO warning_segments {segments('warning_networks')}")
    query = hits("rows", lists)
    ((_, plan),) = con.execute(f"EXPLAIN {query}").fetchall()
    assert "ASOF_JOIN" in plan
    assert "HASH_JOIN" in plan
    for slow in ("NESTED_LOOP", "CROSS_PRODUCT", "PIECEWISE", "IE_JOIN", "BLOCKWISE"):
        assert slow not in plan, plan


def test_what_cannot_be_used_is_counted_and_shown() -> None:
    """Entries that are no host, no network or no expression of RE2's."""
    refused = {match: compiled(read(body(match, entries, []), "n")) for match, entries in ENTRIES.items()}
    assert refused["hostname"].samples == ["bad host"]
    assert refused["cidr"].samples == ["300.1.1.1"]
    assert refused["regex"].samples == ["/(?=x)y/"]
    assert (refused["string"].refused, refused["substring"].refused) == (0, 0)


def _with_rows() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:")
    frame = conform(pl.DataFrame({"value": VALUES}), Policy.allow_list()).filter(pl.col("drop").is_null())
    con.register("frame", frame.select("type", "value", "lo", "up", "rhost").to_arrow())
    con.execute(
        "CREATE TABLE rows AS SELECT md5(type || '|' || value)::UUID AS key, type, value, lo::UUID AS lo,"
        " up::UUID AS up, rhost FROM frame"
    )
    for table in (
        "warning_values (list INTEGER, value VARCHAR)", "warning_hosts (list INTEGER, rhost VARCHAR, stem VARCHAR)",
        "warning_networks (list INTEGER, family UTINYINT, lo UUID, up UUID)",
        "warning_segments (family UTINYINT, lo UUID, up UUID, lists INTEGER[])",
    ):  # fmt: skip
        con.execute(f"CREATE TABLE {table}")
    return con


def _put(con: duckdb.DuckDBPyConnection, number: int, text: Any) -> Entries:
    """Lay a list's entries down as the lake has them."""
    made = compiled(text)
    for name, frame in (("x", made.exact), ("h", made.hosts), ("n", made.networks)):
        con.register(name, frame.to_arrow())
    con.execute(f"INSERT INTO warning_values SELECT {number}, value FROM x")
    stem = f"CASE WHEN contains(rtrim(rhost, '.'), '.') THEN {STEM} END"
    con.execute(f"INSERT INTO warning_hosts SELECT {number}, rhost, {stem} FROM h")
    raw = f"(SELECT {number} AS list, family, lo::UUID AS lo, up::UUID AS up FROM n)"
    con.execute(f"INSERT INTO warning_networks {merge_networks(raw)}")
    sizes = len(made.exact) > 0, len(made.hosts) > 0, len(made.networks) > 0
    return Entries(text.types, *sizes, tuple(made.patterns["pattern"]))
