from __future__ import annotations

import ipaddress

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.model import Policy, normalise_one
from tipline.model.addresses import address
from tipline.model.intervals import normalise_addresses

ALLOW = Policy.allow_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4/32", "1.2.3.4"),
        ("1.2.3.4/24", "1.2.3.0/24"),
        ("1.2.3.4/255.255.255.0", "1.2.3.0/24"),
        ("1.2.3.4-1.2.3.4", "1.2.3.4"),
        ("1.2.3.0-1.2.3.255", "1.2.3.0/24"),
        ("1.2.3.0 - 1.2.4.255", "1.2.3.0-1.2.4.255"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::FFFF:0102:0304", "1.2.3.4"),
        ("::ffff:1.2.3.4/120", "1.2.3.0/24"),
        ("1.2.3.4:443", "1.2.3.4"),
        ("1.2.3.4|443", "1.2.3.4"),
        ("2606:4700:0:0::1", "2606:4700::1"),
        ("2606:4700::1/128", "2606:4700::1"),
        ("2606:4700::1/32", "2606:4700::/32"),
        ("[2606:4700::1]:443", "2606:4700::1"),
        ("[2606:4700::1]", "2606:4700::1"),
        ("2606:4700::-2606:4700::ffff", "2606:4700::/112"),
        ("2606:4700::1-2606:4700::3", "2606:4700::1-2606:4700::3"),
    ],
)
def test_canonical_form(text: str, expected: str) -> None:
    assert normalise_one(text).value == expected
    assert normalise_one(text, "ip").value == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1.2.3", "bad-ipv4"),
        ("1.2.3.256", "bad-ipv4"),
        ("01.2.3.4", "bad-ipv4"),
        ("1.2.3.4:0", "bad-ipv4"),
        ("1.2.3.4:65536", "bad-ipv4"),
        ("118.0/24", "bad-cidr"),
        ("94.136.192/19", "bad-cidr"),
        ("0000/32", "bad-cidr"),
        ("1.2.3.4/33", "bad-cidr"),
        ("1.2.3.4/024", "bad-cidr"),
        ("1.2.3.4/255.0.255.0", "bad-cidr"),
        ("1.2.3.4/0.0.0.255", "bad-cidr"),
        ("1.2.3.9-1.2.3.4", "bad-range"),
        ("1.2.3.4-::1", "bad-range"),
        ("1.2.3.4-9", "bad-range"),
        ("2606:4700::1::2", "bad-ipv6"),
        ("fe80::1%eth0", "bad-ipv6"),
        ("2606:4700::/129", "bad-cidr"),
    ],
)
def test_not_an_address(text: str, reason: str) -> None:
    assert normalise_one(text, "ip").drop == reason


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "172.31.255.255",
        "192.0.2.1",
        "192.168.1.0/24",
        "198.19.0.1",
        "198.51.100.7",
        "203.0.113.0/28",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.0/16",  # holds 192.0.2.0/24 among public addresses
        "9.255.255.0-10.0.0.0",
        "::1",
        "fe80::1",
        "fd00::/32",
        "ff02::1",
        "2001:db8::1",
        "3fff::1",
        "a83f:8110::",
        "1fff:ffff::-2000::",
        "::ffff:10.0.0.1",
    ],
)
def test_not_routable_unless_allowed(text: str) -> None:
    assert normalise_one(text).drop == "not-routable"
    assert normalise_one(text, policy=Policy(allow_non_routable=True)).drop is None


@pytest.mark.parametrize("text", ["0.0.0.0/0", "8.0.0.0/7", "1.0.0.0-2.0.0.0", "::/0", "2000::/15"])
def test_too_wide_unless_allowed(text: str) -> None:
    assert normalise_one(text).drop == "too-wide"
    assert normalise_one(text, policy=ALLOW).drop is None


@pytest.mark.parametrize("text", ["8.0.0.0/8", "2600::/16", "11.0.0.0/8"])
def test_as_wide_as_may_be(text: str) -> None:
    assert normalise_one(text).value == text


def test_width_is_looked_at_before_routing() -> None:
    assert normalise_one("0.0.0.0/0", policy=Policy(allow_wide=True)).drop == "not-routable"
    assert normalise_one("8.0.0.0/6").drop == "too-wide"


@pytest.mark.parametrize(
    ("text", "lo", "up"),
    [
        ("1.2.3.4", "00000000000000000000ffff01020304", "00000000000000000000ffff01020305"),
        ("255.255.255.255", "00000000000000000000ffffffffffff", "00000000000000000001000000000000"),
        ("1.2.3.0/24", "00000000000000000000ffff01020300", "00000000000000000000ffff01020400"),
        ("2606:4700::/127", "26064700" + "0" * 24, "26064700" + "0" * 23 + "2"),
        ("::/0", "0" * 32, "f" * 32),
    ],
)
def test_sorting_form(text: str, lo: str, up: str) -> None:
    verdict = normalise_one(text, policy=ALLOW)
    assert (verdict.lo, verdict.up) == (lo, up)


quads = st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number)))
edges = st.sampled_from(["10.0.0.0", "9.255.255.255", "11.0.0.0", "0.255.255.255", "223.255.255.255", "224.0.0.0"])
networks = st.tuples(st.one_of(quads, edges), st.integers(0, 32)).map(lambda pair: f"{pair[0]}/{pair[1]}")
policies = st.builds(Policy, allow_non_routable=st.booleans(), allow_wide=st.booleans())


@given(st.lists(st.one_of(quads, edges, networks), min_size=1, max_size=30), policies)
def test_columns_and_the_rule_give_the_same_answers(texts: list[str], policy: Policy) -> None:
    frame = pl.DataFrame({"row": range(len(texts)), "text": texts}, schema={"row": pl.UInt32, "text": pl.String})
    rows = normalise_addresses(frame, policy).sort("row").rows(named=True)
    for row, text in zip(rows, texts, strict=True):
        rule = address(text, policy)
        assert row["drop"] == rule.drop, text
        if rule.drop is None:
            assert (row["value"], row["lo"], row["up"]) == (rule.value, rule.lo, rule.up)


@given(st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_ipv6_networks_agree_with_the_standard_library(number: int, length: int) -> None:
    network = ipaddress.IPv6Network((number, length), strict=False)
    verdict = normalise_one(f"{ipaddress.IPv6Address(number).exploded}/{length}", policy=ALLOW)
    assert int(verdict.lo or "", 16) == int(network[0])
    assert int(verdict.up or "", 16) == min(int(network[-1]) + 1, 2**128 - 1)
    if verdict.type == "ipv6":
        assert verdict.value == (str(network[0]) if length == 128 else str(network))
