from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.microsoft.defender_body import (
    ACTIONS,
    IndicatorBody,
    Refusal,
    body_for,
    clipped,
    eight_segments,
    timestamp,
    type_name,
    value_for,
)
from tipline.model.types import TYPES

SHA256 = "a" * 64


def test_a_body_has_microsofts_names_and_only_what_is_set():
    body = body_for(
        IndicatorBody(
            type="ipv4",
            value="123.123.123.123",
            title="t",
            description="d",
            expiration=datetime(2026, 12, 24, 8, 0, 1, 5, tzinfo=UTC),
            external_id="tipline:lab:defender:key",
            rbac_group_names=("servers",),
        )
    )
    assert body == {
        "indicatorValue": "123.123.123.123",
        "indicatorType": "IpAddress",
        "action": "Audit",
        "title": "t",
        "description": "d",
        "severity": "Informational",
        "generateAlert": True,
        "expirationTime": "2026-12-24T08:00:01Z",
        "externalId": "tipline:lab:defender:key",
        "rbacGroupNames": ["servers"],
    }


@pytest.mark.parametrize(
    ("type_", "value", "code"),
    [
        ("ipv4", "1.1.1.0/24", "not-one-address"),
        ("ipv4", "1.1.1.1-1.1.1.9", "not-one-address"),
        ("ipv4", "10.0.0.1", "internal-address"),
        ("ipv4", "127.0.0.1", "internal-address"),
        ("ipv4", "224.0.0.251", "internal-address"),
        ("ipv6", "fe80::1", "internal-address"),
        ("md5", "d" * 32, "md5-refused"),
        ("email", "a@b.example", "unsupported-type"),
        ("sha512", "a" * 128, "unsupported-type"),
        ("url", "http://a.example/" + "x" * 800, "too-long"),
        ("domain", "*.a.example", "wildcard"),
    ],
)
def test_what_defender_cannot_have_is_refused_with_a_reason(type_, value, code):
    refused = body_for(IndicatorBody(type=type_, value=value, title="t"))
    assert isinstance(refused, Refusal)
    assert refused.code == code
    assert refused.text


def test_a_network_of_one_address_is_that_address():
    assert value_for("ipv4", "1.1.1.1/32") == "1.1.1.1"
    assert value_for("ipv6", "2001:4860:4860::8888/128") == "2001:4860:4860:0:0:0:0:8888"


@given(st.integers(0, 2**128 - 1))
def test_ipv6_always_has_eight_segments_and_stays_the_same_address(number):
    address = ipaddress.IPv6Address(number)
    text = eight_segments(address)
    assert text.count(":") == 7
    assert ipaddress.IPv6Address(text) == address


def test_md5_can_be_sent_on_request():
    assert value_for("md5", "d" * 32, allow_md5=True) == "d" * 32


@pytest.mark.parametrize("type_", [name for name in TYPES if type_name(name)])
@pytest.mark.parametrize("action", ["Allowed", "Audit", "Warn", "Block", "BlockAndRemediate"])
def test_actions_are_those_of_microsofts_table(type_, action):
    values = {"ipv4": "1.1.1.1", "ipv6": "2606:4700::1", "domain": "a.example", "url": "http://a.example/"}
    made = IndicatorBody(type=type_, value=values.get(type_, SHA256), action=action, title="t", allow_md5=True)
    allowed = {
        "ipv4": action != "BlockAndRemediate",
        "ipv6": action != "BlockAndRemediate",
        "domain": action != "BlockAndRemediate",
        "url": action != "BlockAndRemediate",
        "certificate-sha1": action in {"Allowed", "BlockAndRemediate"},
    }.get(type_, True)
    body = body_for(made)
    assert isinstance(body, dict) == allowed
    if isinstance(body, Refusal):
        assert body.code == "action-not-allowed"
        assert type_name(type_) in body.text
    assert type_name(type_) in ACTIONS


def test_audit_always_alerts():
    made = IndicatorBody(type="ipv4", value="1.1.1.1", title="t", generate_alert=False)
    assert body_for(made)["generateAlert"] is True
    assert body_for(replace(made, action="Block"))["generateAlert"] is False


@given(st.text(max_size=300))
def test_title_and_description_are_one_line_within_the_limit(text):
    body = body_for(IndicatorBody(type="ipv4", value="1.1.1.1", title="t " + text, description=text))
    assert 0 < len(body["title"]) <= 100
    assert 0 < len(body["description"]) <= 100
    assert body["title"].splitlines() == [body["title"]]


def test_a_title_is_needed_and_stands_in_for_a_description():
    assert body_for(IndicatorBody(type="ipv4", value="1.1.1.1", title=" ")).code == "no-title"
    assert body_for(IndicatorBody(type="ipv4", value="1.1.1.1", title="t"))["description"] == "t"


def test_a_cut_is_shown():
    assert clipped("x" * 101, 100) == "x" * 99 + "…"
    assert clipped("x" * 100, 100) == "x" * 100


def test_times_are_utc():
    assert timestamp(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-01T00:00:00Z"
    naive = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    assert timestamp(naive) == "2026-01-01T00:00:00Z"
