"""Allow-lists: against a model that compares each row with each entry, and against the original's records."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.model.addresses import Interval, spell
from tipline.processors import allowsql

VECTORS = json.loads((Path(__file__).parents[1] / "data/minemeld/aggregator_vectors.json").read_text())
NET = int(ipaddress.IPv4Address("10.0.0.0"))
HOSTS = [
    "example.com",
    "www.example.com",
    "a.www.example.com",
    "examples.com",
    "example.net",
    "net.example.com",
    "com",
]

small_range = st.tuples(st.integers(0, 40), st.integers(1, 24)).map(
    lambda t: ("ipv4", spell(Interval(4, NET + t[0], NET + t[0] + t[1] - 1)))
)
host = st.sampled_from([*HOSTS, "10.0.0.5", "10.0.0.20"])
url = st.tuples(host, st.sampled_from(["", "/", "/evil.exe", "/?q=1", ":8080", ":8080/", "#x"])).map(
    lambda t: ("url", f"http://{t[0]}{t[1]}")
)
domain = st.sampled_from(HOSTS).map(lambda h: ("domain", h))
digest = st.sampled_from("ab").map(lambda c: ("md5", c * 32))
things = st.lists(st.one_of(small_range, url, domain, digest), max_size=14, unique=True)


def addresses(row: dict[str, Any]) -> set[int]:
    lo, up = (int(str(row[bound]).replace("-", ""), 16) if row[bound] else 0 for bound in ("lo", "up"))
    return set(range(lo, up))


def reaches(entry: dict[str, Any], row: dict[str, Any], urls: str) -> bool:
    """Whether one entry alone takes a row out, as the documentation says it."""
    if entry["key"] == row["key"]:
        return True
    if entry["type"] == "domain" and row["rhost"] and row["type"] in ("domain", "url"):
        bare = re.fullmatch(r"[a-z]+://[^/?#]*/?", row["value"])
        under = ("." + row["rhost"]).startswith("." + entry["rhost"])
        return under and (row["type"] == "domain" or urls == "all" or bool(bare))
    return False


def taken_out(rows: list[dict[str, Any]], allowed: list[dict[str, Any]], urls: str) -> set[str]:
    free = set().union(*(addresses(a) for a in allowed if a["type"] == "ipv4"))
    return {
        r["value"] for r in rows if any(reaches(a, r, urls) for a in allowed) or (addresses(r) and addresses(r) <= free)
    }


@pytest.mark.parametrize("urls", ["host-only", "all"])
@settings(max_examples=60)
@given(inputs=things, entries=things)
def test_allow_takes_out_what_its_rules_say(views: Any, row: Any, urls: str, inputs: Any, entries: Any) -> None:
    rows, allowed = [row(*i) for i in inputs], [row(*e, "wl") for e in entries]
    views.table("inputs", rows)
    views.table("allowed", allowed)
    expected = taken_out(rows, allowed, urls)
    assert {r["key"] for r in rows if r["value"] in expected} == {
        r["key"] for r in views.rows(allowsql.blocked("inputs", "allowed", urls))
    }
    out = views.rows(allowsql.allow("inputs", "allowed", urls))
    gone = {r["value"]: r["dropped"] for r in out if r["dropped"]}
    assert {v for v, why in gone.items() if why.startswith("allowed by wl: ")} == expected
    live = [r for r in out if r["dropped"] is None]
    free = set().union(*(addresses(a) for a in allowed if a["type"] == "ipv4"))
    partly = {r["value"] for r in rows if r["type"] == "ipv4" and addresses(r) & free} - expected
    assert {v for v, why in gone.items() if why.startswith("cut: wl: ")} == partly
    assert {r["value"] for r in live if r["type"] != "ipv4"} == {
        r["value"] for r in rows if r["type"] != "ipv4"
    } - expected
    spared = [r for r in rows if r["type"] == "ipv4" and r["value"] not in expected]
    left = set().union(*(addresses(r) for r in spared)) - free
    assert set().union(*(addresses(r) for r in live if r["type"] == "ipv4")) == left
    assert len({r["key"] for r in live}) == len(live), "one row a key"
    if not any(a["lo"] for a in allowed):
        short = views.rows(allowsql.allow("inputs", "allowed", urls, networks=False))
        assert sorted(short, key=str) == sorted(out, key=str), "without networks there is nothing to cut"


@settings(max_examples=40)
@given(inputs=things, before=things, after=things, urls=st.sampled_from(["host-only", "all"]))
def test_a_changed_entry_reaches_every_row_whose_result_changes(
    views: Any, row: Any, inputs: Any, before: Any, after: Any, urls: str
) -> None:
    views.table("inputs", [row(*i) for i in inputs])
    views.table("changed", [row(*e, "wl") for e in set(before) ^ set(after)])
    reached = {r["key"] for r in views.rows(allowsql.matched_by("inputs", "changed"))}
    results = []
    for entries in (before, after):
        views.table("allowed", [row(*e, "wl") for e in entries])
        out = views.rows(allowsql.allow("inputs", "allowed", urls))
        results.append({(r["key"], bool(r["dropped"]), str(r["value"])) for r in out})
    keys = {r["key"] for r in views.rows("FROM inputs")}
    assert {key for key, _, _ in results[0] ^ results[1]} & keys <= reached


def test_a_list_that_is_not_prefix_free_would_lose_the_wide_entry(views: Any, row: Any) -> None:
    """`com.example.www.` sorts between `com.example.` and the row, and would hide it from an ASOF join."""
    views.table("inputs", [row("domain", "zzz.example.com")])
    views.table("allowed", [row("domain", "example.com", "wl"), row("domain", "www.example.com", "wl")])
    naive = views.rows(
        "SELECT r.value FROM inputs r ASOF JOIN allowed a ON r.rhost >= a.rhost WHERE starts_with(r.rhost, a.rhost)"
    )
    assert naive == []
    assert [r["reason"] for r in views.rows(allowsql.blocked("inputs", "allowed"))] == ["allowed by wl: example.com"]


@given(st.lists(st.lists(st.sampled_from("abz-"), min_size=1, max_size=4), max_size=12))
@settings(max_examples=60)
def test_reduced_domains_are_prefix_free_and_cover_the_same(views: Any, row: Any, hosts: list[list[str]]) -> None:
    names = {".".join(labels) for labels in hosts}
    views.table("allowed", [row("domain", name) for name in names])
    kept = {r["rhost"] for r in views.rows(allowsql.prefix_free("allowed"))}
    every = {".".join(reversed(name.split("."))) + "." for name in names}
    assert kept == {e for e in every if not any(e != o and e.startswith(o) for o in every)}


def test_reasons_name_source_and_entry_the_nearest_first(views: Any, row: Any) -> None:
    views.table(
        "inputs",
        [row("domain", "example.com"), row("domain", "a.example.com"), row("url", "http://10.0.0.9/x"),
         row("ipv4", "10.0.0.0-10.0.0.31"), row("ipv4", "10.0.0.24-10.0.0.40"), row("domain", "example.net")],
    )  # fmt: skip
    views.table(
        "allowed",
        [row("domain", "example.com", "wl"), row("ipv4", "10.0.0.0/28", "wl"),
         row("ipv4", "10.0.0.16/28", "hand"), row("ipv4", "10.0.0.0/30", "wl")],
    )  # fmt: skip
    out = {r["value"]: r["dropped"] for r in views.rows(allowsql.allow("inputs", "allowed"))}
    assert out == {
        "example.com": "allowed by wl: example.com",
        "a.example.com": "allowed by wl: example.com",
        "http://10.0.0.9/x": "allowed by wl: 10.0.0.0/28",
        "10.0.0.0/27": "allowed by wl: 10.0.0.0/28 and what follows it",
        "10.0.0.24-10.0.0.40": "cut: hand: 10.0.0.16/28",
        "10.0.0.32-10.0.0.40": None,
        "example.net": None,
    }


@pytest.mark.parametrize("urls", ["host-only", "all"])
@settings(max_examples=60, deadline=None)
@given(inputs=things, entries=things)
def test_entries_that_do_not_concern_rows_change_nothing(
    views: Any, row: Any, urls: str, inputs: Any, entries: Any
) -> None:
    views.table("inputs", [row(*i) for i in inputs])
    views.table("allowed", [row(*e, "wl") for e in entries])
    some = f"(SELECT * FROM allowed WHERE key IN ({allowsql.concerning('allowed', 'inputs')}))"
    found, expected = (views.rows(f"{allowsql.allow('inputs', each, urls)} ORDER BY ALL") for each in (some, "allowed"))
    assert found == expected


def test_a_piece_that_is_there_already_becomes_one_row(views: Any, row: Any) -> None:
    views.table("inputs", [row("ipv4", "10.0.0.0/24", "m1"), row("ipv4", "10.0.0.0/25", "m2", confidence=90)])
    views.table("allowed", [row("ipv4", "10.0.0.128/25", "wl")])
    live = [r for r in views.rows(allowsql.allow("inputs", "allowed")) if r["dropped"] is None]
    assert [(r["value"], r["sources"], r["confidence"]) for r in live] == [("10.0.0.0/25", ["m1", "m2"], 90)]


def test_no_plan_has_an_inequality_or_nested_loop_join(views: Any, row: Any) -> None:
    rows = [row("ipv4", f"10.0.{n}.0/24") for n in range(200)]
    rows += [row("domain", f"h{n}.example.com") for n in range(100)]
    views.table("inputs", rows)
    views.table("allowed", rows[::7])
    for sql in (
        allowsql.blocked("inputs", "allowed"),
        allowsql.blocked("inputs", "allowed", "all"),
        allowsql.allow("inputs", "allowed"),
        allowsql.matched_by("inputs", "allowed"),
        allowsql.concerning("allowed", "inputs"),
    ):
        views.assert_fast_joins(sql)


@pytest.mark.parametrize("case", [c for c in VECTORS if c["class"] == "AggregateFT"], ids=lambda c: c["title"])
def test_every_step_of_the_originals_generic_aggregator(views: Any, row: Any, case: dict[str, Any]) -> None:
    """Differences on purpose: an allowed domain holds its sub-domains, and case is always ignored."""
    now: set[tuple[str, str]] = set()
    held: set[str] = set()
    for step in case["steps"]:
        if step["op"] == "update":
            now.add((step["indicator"].lower(), step["source"]))
        elif step["value"]["type"] == "domain":
            now.discard((step["indicator"].lower(), step["source"]))
        for op, indicator, _ in step["emits"]:
            (held.add if op == "update" else held.discard)(indicator)
        views.table("inputs", [row("domain", v, s) for v, s in sorted(now) if not s.startswith("wl")])
        views.table("allowed", [row("domain", v, s) for v, s in sorted(now) if s.startswith("wl")])
        live = {r["value"] for r in views.rows(allowsql.allow("inputs", "allowed")) if r["dropped"] is None}
        assert live == held - {"www.evil.com", "EVIL.com"}
