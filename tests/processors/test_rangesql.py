"""Range arithmetic: against a model that looks at each address alone, and against the original's records."""

from __future__ import annotations

import ipaddress
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.model.addresses import Interval, bounds, interval, spell
from tipline.processors import iptext, rangesql

VECTORS = json.loads((Path(__file__).parents[1] / "data/minemeld/aggregator_vectors.json").read_text())
NET = int(ipaddress.IPv4Address("10.0.0.0"))
TLP = ["clear", "green", "amber", "amber+strict", "red"]
# The original reads a CIDR with host bits from the address on; ours is the network (normalised before).
HOST_BITS = {"10.0.0.5-10.0.1.4": "10.0.0.0-10.0.0.255"}

small_range = st.tuples(st.integers(0, 40), st.integers(1, 24)).map(lambda t: (t[0], t[0] + t[1]))
claims = st.lists(st.tuples(small_range, st.sampled_from(["m1", "m2", "m3"]), st.integers(0, 100)), max_size=12)
networks = st.lists(small_range, max_size=5)


def text(lo: int, up: int) -> str:
    """The canonical text of 10.0.0.lo up to before 10.0.0.up."""
    return spell(Interval(4, NET + lo, NET + up - 1))


def live(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in rows if r["dropped"] is None]


def covers(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Offset in 10.0.0.0/24 -> the rows that hold it."""
    held: dict[int, list[dict[str, Any]]] = {}
    for r in rows:
        first, last = number(r["lo"]), number(r["up"])
        for n in range(first, last):
            held.setdefault(n - NET, []).append(r)
    return held


def number(bound: Any) -> int:
    return int(str(bound).replace("-", ""), 16) - (0xFFFF << 32)


@settings(max_examples=60, deadline=None)
@given(claims=claims, allowed=networks)
def test_disjoint_ranges_hold_each_address_with_exactly_its_claims(
    views: Any, row: Any, claims: Any, allowed: Any
) -> None:
    rows = [row("ipv4", text(*r), s, confidence=c, tags=[f"{s}{c}"]) for r, s, c in claims]
    views.table("inputs", rows)
    views.table("wl", [row("ipv4", text(*r), "wl") for r in allowed])
    out = views.rows(rangesql.disjoint("inputs", "wl"))
    free = {n: of for n, of in covers(rows).items() if not any(lo <= n < up for lo, up in allowed)}
    held = covers(live(out))
    assert held.keys() == free.keys()
    for n, (one, *more) in held.items():
        assert not more
        assert one["sources"] == sorted({s for r in free[n] for s in r["sources"]})
        assert one["confidence"] == max(r["confidence"] for r in free[n])
        assert one["tags"] == sorted({t for r in free[n] for t in r["tags"]})
    for r in live(out):
        assert r["value"] == text(number(r["lo"]) - NET, number(r["up"]) - NET)
        before = number(r["lo"]) - NET - 1
        if before in free:
            assert {id(x) for x in free[before]} != {id(x) for x in free[before + 1]}, "not maximal"
    gone = {r["value"] for r in rows if not any(n in free for n in covers([r]))}
    assert {r["value"] for r in out if r["dropped"]} == gone


def test_merging_settles_every_attribute_whatever_the_order(views: Any, row: Any) -> None:
    early, late = datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2024-02-01")
    one = row(
        "ipv4", "10.0.0.0/24", "m2", confidence=80, actionable=False, tlp=1, direction="inbound", refs=["r"],
        description="two", first_seen=late, last_seen=early, valid_until=late, added=late,
        threat_types=["c2"],
    )  # fmt: skip
    two = row(
        "ipv4", "10.0.0.0/24", "m1", confidence=80, tlp=3, direction="inbound", description="one",
        first_seen=early, last_seen=late, added=early,
    )  # fmt: skip
    outs = []
    for rows in ([one, two], [two, one]):
        views.table("inputs", rows)
        outs.append(views.rows(rangesql.disjoint("inputs")))
    assert outs[0] == outs[1]
    assert outs[0] == [
        one | {
            "sources": ["m1", "m2"], "actionable": True, "tlp": 3, "description": "one", "first_seen": early,
            "last_seen": late, "valid_until": None, "added": early, "dropped": None,
            "lo": outs[0][0]["lo"], "up": outs[0][0]["up"],
        }
    ]  # fmt: skip


def test_families_never_meet(views: Any, row: Any) -> None:
    views.table("inputs", [row("ipv4", "10.0.0.1"), row("ipv6", "::/0"), row("ipv6", "2001:db8::/32")])
    views.table("wl", [row("ipv6", "::/1", "wl")])
    out = {r["value"]: r["dropped"] for r in views.rows(rangesql.disjoint("inputs", "wl"))}
    assert out == {"10.0.0.1": None, "8000::/1": None, "2001:db8::/32": "allowed by wl: ::/1"}


def test_neighbours_with_the_same_sources_become_one(views: Any, row: Any) -> None:
    rows = [
        row("ipv4", "10.0.0.0/25"), row("ipv4", "10.0.0.128/25"), row("ipv4", "10.0.1.0", "m2"),
        row("ipv4", "10.0.1.1"), row("ipv4", "10.0.1.3"), row("ipv6", "::a00:102"),
    ]  # fmt: skip
    views.table("inputs", rows)
    out = views.rows(rangesql.merge_neighbours("inputs"))
    assert sorted(r["value"] for r in out) == ["10.0.0.0/24", "10.0.1.0", "10.0.1.1", "10.0.1.3", "::a00:102"]


@pytest.mark.parametrize("touching", [True, False])
@settings(max_examples=40, deadline=None)
@given(ranges=st.lists(small_range, max_size=10), touched=st.lists(small_range, max_size=3))
def test_islands_are_the_hulls_that_hold_a_touched_range(
    views: Any, row: Any, touching: bool, ranges: Any, touched: Any
) -> None:
    def table(name: str, spans: list[tuple[int, int]]) -> str:
        views.table(name, [row("ipv4", text(*s)) for s in spans])
        return f"(SELECT {iptext.family()} AS family, lo, up FROM {name})"

    sql = rangesql.islands(table("every", ranges), table("touched", touched), touching=touching)
    hulls = {(number(r["lo"]) - NET, number(r["up"]) - NET) for r in views.rows(sql)}
    groups: list[tuple[int, int]] = []
    for lo, up in sorted(ranges + touched):
        if groups and (lo <= groups[-1][1] if touching else lo < groups[-1][1]):
            groups[-1] = (groups[-1][0], max(up, groups[-1][1]))
        else:
            groups.append((lo, up))
    expected = {g for g in groups if any(g[0] <= lo and up <= g[1] for lo, up in touched)}
    assert hulls == expected
    views.con.execute(f"CREATE OR REPLACE TABLE hulls AS {sql}")
    inside = {r["value"] for r in views.rows(rangesql.within("hulls", "every"))}
    assert inside == {text(*r) for r in ranges if any(lo <= r[0] and r[1] <= up for lo, up in expected)}


def many(views: Any, row: Any) -> None:
    rows = [row("ipv4", f"10.{n // 250}.{n % 250}.0/{24 if n % 3 else 22}", f"m{n % 3}") for n in range(300)]
    views.table("inputs", rows)
    views.table("wl", [row("ipv4", f"10.{n % 12}.{n % 250}.7", "wl") for n in range(100)])


def test_no_plan_has_an_inequality_or_nested_loop_join(views: Any, row: Any) -> None:
    many(views, row)
    views.con.execute(f"CREATE OR REPLACE TABLE spans AS SELECT {iptext.family()} AS family, lo, up FROM inputs")
    for sql in (
        rangesql.disjoint("inputs"),
        rangesql.disjoint("inputs", "wl"),
        rangesql.merge_neighbours("inputs"),
        rangesql.islands("spans", "spans"),
        rangesql.within("spans", "inputs"),
        iptext.to_cidrs("inputs"),
    ):
        views.assert_fast_joins(sql)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_text_of_a_range_is_the_models(views: Any, row: Any, data: st.DataObject) -> None:
    version = data.draw(st.sampled_from([4, 6]))
    top = 2 ** (32 if version == 4 else 128) - 1
    # The last but one IPv6 address cannot be told from the last: bounds saturate there.
    edges = st.one_of(st.integers(0, top), st.integers(0, 70000), st.integers(0, 127).map(lambda n: (1 << n) & top))
    first = min(data.draw(edges), top - 2 * (version == 6))
    reach = st.one_of(st.just(0), st.integers(0, 70000), st.integers(0, 127).map(lambda n: (1 << n) - 1))
    span = Interval(version, first, max(first, min(top - 2 * (version == 6), first + data.draw(reach))))
    type_, (lo, up) = f"ipv{version}", bounds(span)
    sql = iptext.value_of(f"'{type_}'", f"'{lo}'::UUID", f"'{up}'::UUID")
    assert views.con.execute(f"SELECT {sql}").fetchall() == [(spell(span),)]


def test_the_ends_of_the_address_space(views: Any) -> None:
    for value in ("0.0.0.0/0", "255.255.255.255", "255.255.255.254/31", "::/0", "ffff::/16", "::"):
        span = interval(value)
        lo, up = bounds(span)
        sql = iptext.value_of(f"'ipv{span.family}'", f"'{lo}'::UUID", f"'{up}'::UUID")
        assert views.con.execute(f"SELECT {sql}").fetchall() == [(value,)]


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**20), st.booleans())
@settings(max_examples=60, deadline=None)
def test_cidrs_are_minimal(views: Any, row: Any, first: int, more: int, six: bool) -> None:
    span = Interval(6, first << 60, (first << 60) + more) if six else Interval(4, first, min(first + more, 2**32 - 1))
    views.table("inputs", [row(f"ipv{span.family}", spell(span), tags=["t"])])
    out = views.rows(iptext.to_cidrs("inputs"))
    make = ipaddress.IPv6Address if six else ipaddress.IPv4Address
    nets = ipaddress.summarize_address_range(make(span.first), make(span.last))
    expected = {str(n[0]) if n.num_addresses == 1 else str(n) for n in nets}
    assert {r["value"] for r in out} == expected
    for r in out:
        again = row(f"ipv{span.family}", r["value"])
        assert (r["key"], r["kh"], r["tags"]) == (again["key"], again["kh"], ["t"])
        assert str(r["lo"]).replace("-", "") == again["lo"]


def replayed(case: dict[str, Any], count: int) -> dict[str, dict[str, Any]]:
    """What a reader of the original's messages holds after `count` steps."""
    held: dict[str, dict[str, Any]] = {}
    for step in case["steps"][:count]:
        for op, indicator, value in step["emits"]:
            if op == "update":
                held[HOST_BITS.get(indicator, indicator)] = value
            else:
                held.pop(HOST_BITS.get(indicator, indicator))
    return held


def current(row: Any, case: dict[str, Any], count: int) -> tuple[list[Any], list[Any]]:
    """The claims and allow entries after `count` steps."""
    now: dict[tuple[str, str], dict[str, Any]] = {}
    for step in case["steps"][:count]:
        at = (step["indicator"], step["source"])
        if step["op"] == "update":
            now[at] = step["value"]
        else:
            now.pop(at)
    rows = [
        row(
            "ipv4",
            text_,
            source,
            confidence=v["confidence"],
            tags=v.get("tags"),
            tlp=TLP.index(v["share_level"]),
        )
        for (text_, source), v in now.items()
    ]
    allowed = [r for r in rows if r["sources"][0].startswith("wl")]
    return [r for r in rows if r not in allowed], allowed


def as_original(value: str) -> str:
    span = interval(value)
    return "-".join(str(ipaddress.IPv4Address(n)) for n in (span.first, span.last))


@pytest.mark.parametrize("case", [c for c in VECTORS if c["class"] == "AggregateIPv4FT"], ids=lambda c: c["title"])
def test_every_step_of_the_originals_aggregator(views: Any, row: Any, case: dict[str, Any]) -> None:
    for count in range(1, len(case["steps"]) + 1):
        rows, allowed = current(row, case, count)
        views.table("inputs", rows)
        views.table("wl", allowed)
        ours = {as_original(r["value"]): r for r in live(views.rows(rangesql.disjoint("inputs", "wl")))}
        theirs = replayed(case, count)
        assert ours.keys() == theirs.keys(), count
        for at, mine in ours.items():
            assert mine["sources"] == sorted(theirs[at]["sources"])
            assert mine["confidence"] == theirs[at]["confidence"]


def test_where_merging_differs_from_the_original_on_purpose(views: Any, row: Any) -> None:
    """The original keeps the last source's share level, which may be the laxer one; ours is the strictest."""
    case = next(c for c in VECTORS if c["title"] == "same host, two sources, attribute merge")
    rows, _ = current(row, case, 2)
    views.table("inputs", rows)
    (ours,) = views.rows(rangesql.disjoint("inputs"))
    assert replayed(case, 2)["1.1.1.1-1.1.1.1"]["share_level"] == "green"
    assert ours["tlp"] == TLP.index("red")


def test_a_plan_check_sees_what_it_should(views: Any) -> None:
    with pytest.raises(AssertionError):
        views.assert_fast_joins("SELECT * FROM range(9) a(x) JOIN range(9) b(y) ON x < y")
