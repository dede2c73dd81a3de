from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stix2patterns.validator import validate as pattern_is_valid
from stix2validator import ValidationOptions, validate_instance

from tipline.microsoft.stix import (
    StixIndicator,
    external_reference,
    indicator_object,
    literal,
    pattern_for,
    rfc3339,
    stix_id,
)
from tipline.model.types import TYPES

NOW = datetime(2026, 11, 24, 6, 0, 0, 123456, tzinfo=UTC)
PATTERNS = [
    ("ipv4", "123.123.123.123", "[ipv4-addr:value = '123.123.123.123']"),
    ("ipv6", "2001:db8::A", "[ipv6-addr:value = '2001:db8::a']"),
    ("domain", "Evil.Example", "[domain-name:value = 'evil.example']"),
    ("url", "http://a.example/It's", r"[url:value = 'http://a.example/It\'s']"),
    ("email", "Bob@A.example", "[email-addr:value = 'bob@a.example']"),
    ("md5", "D" * 32, f"[file:hashes.MD5 = '{'d' * 32}']"),
    ("sha1", "A" * 40, f"[file:hashes.'SHA-1' = '{'a' * 40}']"),
    ("sha256", "A" * 64, f"[file:hashes.'SHA-256' = '{'a' * 64}']"),
    ("sha512", "A" * 128, f"[file:hashes.'SHA-512' = '{'a' * 128}']"),
    ("ssdeep", "3:AXGBic:AXGH", "[file:hashes.SSDEEP = '3:AXGBic:AXGH']"),
    ("file-name", "a.exe", "[file:name = 'a.exe']"),
    (
        "file-path",
        r"C:\Temp\a.exe",
        r"[file:parent_directory_ref.path = 'C:\\Temp' AND file:name = 'a.exe']",
    ),
    ("registry-key", r"HKLM\Run\x", r"[windows-registry-key:key = 'HKLM\\Run\\x']"),
    ("mutex", r"Global\m", r"[mutex:name = 'Global\\m']"),
    (
        "user-agent",
        "Mozilla/4.0",
        "[network-traffic:extensions.'http-request-ext'.request_header.'User-Agent' = 'Mozilla/4.0']",
    ),
    ("command-line", "cmd /c 'x'", r"[process:command_line = 'cmd /c \'x\'']"),
    ("asn", "AS64500", "[autonomous-system:number = 64500]"),
    ("certificate-sha1", "A" * 40, f"[x509-certificate:hashes.'SHA-1' = '{'a' * 40}']"),
]


def indicator(**more):
    base = {
        "id": stix_id("lab", "tipline", "ipv4", "123.123.123.123"),
        "pattern": "[ipv4-addr:value = '123.123.123.123']",
        "created": NOW,
        "modified": NOW,
        "valid_from": NOW,
        "valid_until": NOW + timedelta(days=30),
    }
    return StixIndicator(**{**base, **more})


def valid(content):
    results = validate_instance(content, ValidationOptions(version="2.1"))
    return results.is_valid, [str(e) for e in results.errors]


@pytest.mark.parametrize(("type_", "value", "pattern"), PATTERNS)
def test_patterns_are_those_that_the_rules_match(type_, value, pattern):
    assert pattern_for(type_, value) == pattern
    assert pattern_is_valid(pattern, "2.1")


def test_every_type_has_a_pattern_or_is_known_to_have_none():
    assert {name for name in TYPES if name not in {p[0] for p in PATTERNS}} == {"ja3", "cve"}
    for type_, value in [
        ("ja3", "a" * 32),
        ("cve", "CVE-2020-1"),
        ("ipv4", "1.1.1.1-1.1.1.5"),
        ("asn", "ASx"),
    ]:
        assert pattern_for(type_, value) is None


@pytest.mark.parametrize("value", ["a.exe", "C:\\", "/", "/etc/x", "C:\\dir\\"])
def test_any_path_gives_a_valid_pattern(value):
    assert pattern_is_valid(pattern_for("file-path", value), "2.1")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40))
def test_a_literal_is_valid_and_means_the_same_text(text):
    written = literal(text)
    assert pattern_is_valid(f"[url:value = {written}]", "2.1")
    assert written[1:-1].replace("\\'", "'").replace("\\\\", "\\") == text or "\\" in text
    assert unescaped(written[1:-1]) == text


def unescaped(text):
    out, escape = [], False
    for char in text:
        if char == "\\" and not escape:
            escape = True
            continue
        out.append(char)
        escape = False
    return "".join(out)


def test_an_id_never_changes():
    # Written down: another value here would make Sentinel keep a second copy of every indicator.
    assert stix_id("lab", "tipline", "ipv4", "123.123.123.123") == EXPECTED_ID


EXPECTED_ID = "indicator--a534a61a-7955-5779-844d-4cfb41a1bf1b"


@given(
    st.lists(st.text(max_size=5), min_size=4, max_size=4),
    st.lists(st.text(max_size=5), min_size=4, max_size=4),
)
def test_an_id_depends_on_each_part(one, other):
    assert (stix_id(*one) == stix_id(*other)) == (one == other)
    assert stix_id(*one, 0) != stix_id(*one, 1)


def test_the_validator_accepts_a_full_object():
    content = indicator_object(
        indicator(
            name="123.123.123.123",
            description="seen in phishing",
            confidence=80,
            tlp=2,
            labels=("phish", "ActivityGroup:X", "phish"),
            references=("https://report.example/1", "an e-mail"),
        )
    )
    assert valid(content) == (True, [])
    assert content["labels"] == ["ActivityGroup:X", "phish"]


@pytest.mark.parametrize("tlp", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize(("type_", "value", "pattern"), PATTERNS)
def test_the_validator_accepts_every_type_and_marking(type_, value, pattern, tlp):
    assert valid(indicator_object(indicator(pattern=pattern, tlp=tlp))) == (True, [])


def test_tlp_markings_are_the_ids_that_sentinel_reads():
    starts = ["613f2e26", "34098fce", "f88d31f6", "939a9414", "5e57c739"]
    for level, start in enumerate(starts):
        (marking,) = indicator_object(indicator(tlp=level))["object_marking_refs"]
        assert marking.startswith(f"marking-definition--{start}")


def test_equal_input_gives_equal_bytes_with_times_in_milliseconds():
    one = json.dumps(indicator_object(indicator(labels=("b", "a"))))
    assert one == json.dumps(indicator_object(indicator(labels=("a", "b"))))
    assert '"created": "2026-11-24T06:00:00.123Z"' in one
    assert one.index('"type"') < one.index('"id"') < one.index('"pattern"') < one.index('"valid_until"')


@given(st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_valid_until_is_kept_and_always_after_valid_from(shift):
    until = NOW + shift
    content = indicator_object(indicator(valid_until=until))
    assert content["valid_until"] == rfc3339(until)
    assert content["valid_from"] < content["valid_until"]
    assert valid(content) == (True, [])


def test_modified_is_never_before_created():
    content = indicator_object(indicator(modified=NOW - timedelta(days=1)))
    assert content["modified"] == content["created"]


def test_zero_confidence_is_sent_and_unset_values_are_left_out():
    assert indicator_object(indicator(confidence=0))["confidence"] == 0
    bare = indicator_object(replace(indicator(), indicator_types=()))
    assert not {"name", "description", "labels", "confidence", "external_references"} & set(bare)
    assert bare["revoked"] is False
    assert valid(bare) == (True, [])


def test_a_reference_names_its_host():
    assert external_reference("https://r.example/x") == {
        "source_name": "r.example",
        "url": "https://r.example/x",
    }
    for text in ("no address", "http://[::1"):
        assert external_reference(text) == {"source_name": "reference", "description": text}
