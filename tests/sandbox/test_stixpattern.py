from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.sandbox.stixpattern import comparisons


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ipv4-addr:value = '1.2.3.4']", [("ipv4-addr:value", "1.2.3.4")]),
        ("[ipv4-addr:value='1.2.3.4']", [("ipv4-addr:value", "1.2.3.4")]),
        (
            "[file:hashes.'SHA-256' = 'ab' OR file:hashes.MD5 = 'cd']",
            [("file:hashes.'SHA-256'", "ab"), ("file:hashes.MD5", "cd")],
        ),
        (r"[url:value = 'http://x/\'a\\b']", [("url:value", "http://x/'a\\b")]),
        (
            "[network-traffic:dst_ref.value = '1.1.1.1' AND network-traffic:dst_port = 443]",
            [("network-traffic:dst_ref.value", "1.1.1.1"), ("network-traffic:dst_port", "443")],
        ),
        ("[windows-registry-key:values[0].name = 'x']", [("windows-registry-key:values[0].name", "x")]),
        (
            "[domain-name:value IN ('a.example', 'b.example')]",
            [("domain-name:value", "a.example"), ("domain-name:value", "b.example")],
        ),
        (
            "[a:b = '1'] FOLLOWEDBY ([c:d = '2'] OR [e:f = '3']) WITHIN 5 SECONDS",
            [("a:b", "1"), ("c:d", "2"), ("e:f", "3")],
        ),
        (
            "[a:b = '1'] REPEATS 5 TIMES START t'2026-01-01T00:00:00Z' STOP t'2026-01-02T00:00:00Z'",
            [("a:b", "1")],
        ),
        ("[(a:b = '1' OR a:b = '2') AND c:d != '3']", [("a:b", "1"), ("a:b", "2")]),
        ("[a:b NOT = '1' AND EXISTS c:d AND e:f LIKE '%' AND g:h > 5 AND i:j = true]", [("i:j", "true")]),
        ("[domain-name:value MATCHES 'x']", []),
        ("[domain-name:value NOT IN ('a')]", []),
        ("domain-name:value = 'a'", []),
        ("[a:b = '1'", []),
        ("[a:b = ]", []),
        ("", []),
        ("[]", []),
        ("[a:b = '1'] junk", []),
        ("[a:b = 'unclosed]", []),
        ("[" * 500, []),
        ("[" + "(" * 500 + "a:b = '1'" + ")" * 500 + "]", []),
    ],
)
def test_comparisons(pattern, expected):
    assert comparisons(pattern) == expected


@given(st.text())
def test_any_value_survives_escaping(value):
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    assert comparisons(f"[url:value = '{escaped}']") == [("url:value", value)]


@given(st.text(alphabet="[]()'=\\ aA:.,INORD0", max_size=60))
def test_no_text_breaks_the_parser(text):
    assert isinstance(comparisons(text), list)
