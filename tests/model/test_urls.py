from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.model import Policy, normalise_one
from tipline.model.urls import normalise_urls, url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HTTP://Evil.COM:80/Path?Q=A#F", "http://evil.com/Path?Q=A#F"),
        ("https://evil.com:443", "https://evil.com"),
        ("https://evil.com:80/", "https://evil.com:80/"),
        ("http://evil.com:/x", "http://evil.com/x"),
        ("http://evil.com:08080/x", "http://evil.com:8080/x"),
        ("http://evil.com./x", "http://evil.com/x"),
        ("http://a.com/%7e/./x//y/../z", "http://a.com/%7e/./x//y/../z"),
        ("http://good.com@evil.com/x@y", "http://good.com@evil.com/x@y"),
        ("http://u:p@q@evil.com:8080/", "http://u:p@q@evil.com:8080/"),
        ("http://münchen.de/ü", "http://xn--mnchen-3ya.de/ü"),
        ("http://[2606:4700:0::1]:80/x", "http://[2606:4700::1]/x"),
        ("http://[::ffff:8.8.8.8]/x", "http://8.8.8.8/x"),
        ("evil.com/x", "http://evil.com/x"),
        ("evil.com", "http://evil.com"),
        ("8.8.8.8:8080/x", "http://8.8.8.8:8080/x"),
        ("ldap://8.8.8.8:389/a", "ldap://8.8.8.8/a"),
        ("http://gov.uk/x", "http://gov.uk/x"),
        ("http://evil.com/?a[]=1&b[c]=2", "http://evil.com/?a[]=1&b[c]=2"),
        ("http://evil.com\\@good.com/", "http://evil.com\\@good.com/"),
        ("http://evil.com?x", "http://evil.com?x"),
    ],
)
def test_canonical_form(text: str, expected: str) -> None:
    assert normalise_one(text, "url").value == expected


def test_the_host_is_after_the_last_at_of_the_authority() -> None:
    assert normalise_one("http://good.com@evil.com/x@third.com").rhost == "com.evil."
    assert normalise_one("http://evil.com\\@good.com/").rhost == "com.evil."
    assert normalise_one("http://evil.com?@good.com").rhost == "com.evil."


def test_an_address_as_host_has_bounds_and_no_reversed_host() -> None:
    verdict = normalise_one("http://8.8.8.8/x")
    assert (verdict.lo, verdict.up) == ("0" * 20 + "ffff08080808", "0" * 20 + "ffff08080809")
    assert verdict.rhost is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://", "bad-url"),
        ("http:///x", "bad-url"),
        ("http://evil.com:99999/", "bad-url"),
        ("http://evil.com:x/", "bad-url"),
        ("http://1.2.3.400/", "bad-url"),
        ("http://3232235777/", "bad-url"),
        ("http://[2606:4700::1/", "bad-url"),
        ("http://[xyz]/", "bad-url"),
        ("javascript://x.com/", "bad-url"),
        ("http://evil.com/a b", "bad-url"),
        ("http://evil.com/a\x01b", "bad-url"),
        ("/x.php", "path-only"),
        ("http://evil.com/x…", "truncated"),
        ("http://evil.com/x...", "truncated"),
        ("http://evil.com/[targeted email address]", "placeholder"),
        ("http://evil.com/?e=[email]", "placeholder"),
        ("http://evil.com/?e=<email>", "placeholder"),
        ("http://evil.com/{id}/x", "placeholder"),
        ("http://intranet/x", "unknown-tld"),
        ("http://10.0.0.1/x", "not-routable"),
        ("http://[::1]/", "not-routable"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    assert normalise_one(text, "url").drop == reason


hosts = st.sampled_from(
    ["evil.com", "Evil.Com.", "8.8.8.8", "10.0.0.1", "08.8.8.8", "co.uk", "x.exe", "a..b", "a_b.com", ""]
)
ports = st.sampled_from(["", ":", ":80", ":443", ":21", ":0", ":8080", ":08", ":65536", ":x"])
rests = st.one_of(
    st.sampled_from(["", "/", "?q", "#f", "/x...", "/x…", "/[a b]", "/a b", "/é"]),
    st.text(max_size=5).map("/{}".format),
)
schemes = st.sampled_from(["http://", "HTTPS://", "ftp://", "ldap://", "x://", ""])
users = st.sampled_from(["", "", "u@", "u:p@", "a@b@"])
texts = st.tuples(schemes, users, hosts, ports, rests).map("".join)


@given(st.lists(texts, min_size=1, max_size=20))
def test_columns_and_the_rule_give_the_same_answers(texts: list[str]) -> None:
    frame = pl.DataFrame({"row": range(len(texts)), "text": texts}, schema={"row": pl.UInt32, "text": pl.String})
    for row, text in zip(normalise_urls(frame, Policy()).sort("row").rows(named=True), texts, strict=True):
        rule = url(text, Policy())
        assert row["drop"] == rule.drop, text
        if rule.drop is None:
            assert tuple(row[name] for name in rule._fields) == tuple(rule)
