from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.model import Policy, normalise_one
from tipline.model.hosts import canonical_host, domain, normalise_domains, reverse_host
from tipline.model.suffixes import is_public_suffix, public_suffix, registrable_domain

PSL = Path(__file__).parent.parent / "data" / "psl"


def vectors() -> list[tuple[str, str]]:
    """Cases of both files of the list: host, registrable domain or `null`."""
    found: list[tuple[str, str]] = []
    for line in (PSL / "tests.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("//"):
            host, expected = line.split()
            found.append((host, expected))
    call = re.compile(r"checkPublicSuffix\('?([^',]*)'?, '?([^')]*)'?\);")
    for line in (PSL / "test_psl.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("checkPublicSuffix"):
            match = call.fullmatch(line)
            assert match, line
            found.append((match[1], match[2]))
    return found


def test_both_files_of_vectors_are_read() -> None:
    assert len(vectors()) == 156


@pytest.mark.parametrize(("host", "expected"), vectors())
def test_public_suffix_list_vectors(host: str, expected: str) -> None:
    canonical = None if host == "null" else canonical_host(host)
    got = registrable_domain(canonical) if canonical else None
    assert got == (None if expected == "null" else canonical_host(expected))


def test_private_suffixes_are_suffixes_only_on_request() -> None:
    assert public_suffix("x.github.io") == "github.io"
    assert public_suffix("x.github.io", private=False) == "io"
    assert not is_public_suffix("github.io")
    assert registrable_domain("a.city.kawasaki.jp") == "city.kawasaki.jp"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Evil.COM.", "evil.com"),
        ("_dmarc.foo_bar.example.com", "_dmarc.foo_bar.example.com"),
        ("r4---sn-abc.googlevideo.com", "r4---sn-abc.googlevideo.com"),
        ("-x-.sub.example.com", "-x-.sub.example.com"),
        ("xn--a.example.com", "xn--a.example.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("MÜNCHEN。de", "xn--mnchen-3ya.de"),
        ("straße.de", "xn--strae-oqa.de"),
        ("i❤.ws", "xn--i-7iq.ws"),
        ("abc.onion", "abc.onion"),
        ("x.github.io", "x.github.io"),
        ("github.io", "github.io"),
        ("рф.рф", "xn--p1ai.xn--p1ai"),
        ("1.2.3.com", "1.2.3.com"),
        ("a.b:8443", None),
        ("evil.com:8443", "evil.com"),
        ("evil.zip", "evil.zip"),
    ],
)
def test_canonical_form(text: str, expected: str | None) -> None:
    assert normalise_one(text, "domain").value == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("support¬forum.org", "bad-domain"),
        ("evil..com", "bad-domain"),
        ("-evil.com", "bad-domain"),
        ("evil-.com", "bad-domain"),
        ("1.2.3.4", "bad-domain"),
        ("a b.com", "bad-domain"),
        ("evil.com/x", "bad-domain"),
        ("x" * 64 + ".com", "bad-domain"),
        ("x." * 126 + "com", "bad-domain"),
        ("evil\x00.com", "bad-domain"),
        ("evil.com:0", "bad-domain"),
        ("evil.com…", "truncated"),
        ("evil...", "truncated"),
        ("backdates[0-9]{1,2}\\.(com|net)", "regular-expression"),
        ("*.evil.com", "wildcard"),
        (".evil.com", "wildcard"),
        ("co.uk", "public-suffix"),
        ("com", "public-suffix"),
        ("foo.ck", "public-suffix"),
        ("mshta.exe", "unknown-tld"),
        ("localhost", "unknown-tld"),
        ("printer.local", "unknown-tld"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    assert normalise_one(text, "domain").drop == reason


@pytest.mark.parametrize("text", ["co.uk", "com", "foo.ck", "localhost", "printer.local", "*.evil.com", ".evil.com"])
def test_an_allow_list_may_hold_it(text: str) -> None:
    verdict = normalise_one(text, "domain", Policy.allow_list())
    assert verdict.value == text.lstrip("*.")
    assert verdict.extra == ('{"wildcard": true}' if text[0] in "*." else None)


def test_reversed_hosts_part_sub_domains_from_neighbours() -> None:
    base = reverse_host("example.com")
    assert reverse_host("www.example.com").startswith(base)
    assert not reverse_host("www.example-bad.com").startswith(base)
    assert normalise_one("www.example.com").rhost == "com.example.www."


labels = st.text(alphabet="abcz09_-AZ", min_size=0, max_size=6)
names = st.one_of(
    st.lists(labels, min_size=1, max_size=4).map(".".join),
    st.tuples(labels, st.sampled_from(["com", "co.uk", "ck", "kobe.jp", "onion", "exe", "xn--p1ai", "COM."])).map(
        ".".join
    ),
    st.sampled_from(["a" * 63 + ".com", "a" * 64 + ".com", "city.kobe.jp", "a.city.kobe.jp", "www.ck"]),
)


@given(st.lists(names, min_size=1, max_size=20), st.builds(Policy, allow_public_suffixes=st.booleans()))
def test_columns_and_the_rule_give_the_same_answers(texts: list[str], policy: Policy) -> None:
    frame = pl.DataFrame({"row": range(len(texts)), "text": texts}, schema={"row": pl.UInt32, "text": pl.String})
    for row, text in zip(normalise_domains(frame, policy).sort("row").rows(named=True), texts, strict=True):
        rule = domain(text, policy)
        assert row["drop"] == rule.drop, text
        if rule.drop is None:
            assert (row["value"], row["rhost"]) == (rule.value, rule.rhost)
