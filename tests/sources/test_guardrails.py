"""The address policy, and URLs without secrets."""

from __future__ import annotations

import ipaddress

import pytest

from tipline.errors import FetchError
from tipline.sources.guardrails import allowed_by_name, mask_url, refusal, resolve

NOT_PUBLIC = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.16.0.1", "192.168.0.1",
    "198.18.0.1",
    "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "ff02::1",
    "2001:db8::1", "::ffff:10.0.0.1", "::7f00:1", "2002:7f00:1::", "64:ff9b::a00:1", "64:ff9b:1::c0a8:1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_addresses_that_are_not_public_need_to_be_allowed(text: str) -> None:
    address = ipaddress.ip_address(text)
    assert refusal(address)
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("text", METADATA)
def test_metadata_services_are_never_allowed_as_private(text: str) -> None:
    assert "metadata" in (refusal(ipaddress.ip_address(text), allow_private=True) or "")


@pytest.mark.parametrize("text", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_are_all_right(text: str) -> None:
    assert refusal(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize(
    ("host", "entry", "allowed"),
    [
        ("Feed.Corp.example.", "feed.corp.example", True),
        ("feed.corp.example", "*.corp.example", True),
        ("corp.example", "*.corp.example", False),
        ("evilcorp.example", "*.corp.example", False),
        ("any.example", "10.0.0.0/8", True),
        ("any.example", "10.0.0.2", False),
    ],
)
def test_hosts_that_the_user_names(host: str, entry: str, allowed: bool) -> None:
    assert allowed_by_name(host, ipaddress.ip_address("10.0.0.1"), [entry]) is allowed


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "::1"])
def test_spellings_of_loopback(host: str) -> None:
    with pytest.raises(FetchError, match="loopback"):
        resolve(host, 80, allow_private=False)


def test_one_refused_address_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", ("1.1.1.1", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: answers)
    with pytest.raises(FetchError, match=r"refused to connect to a.example, which is 10.0.0.1: a private"):
        resolve("a.example", 80, allow_private=False)
    assert resolve("a.example", 80, allow_private=True) == ["1.1.1.1", "10.0.0.1"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/feed.csv", "https://a.example/feed.csv"),
        ("https://u:p@a.example:8443/x", "https://***@a.example:8443/x"),
        ("https://token@a.example/x", "https://***@a.example/x"),
        ("https://a.example/x?v=csv&API_Key=hunter2&f=1#frag", "https://a.example/x?v=csv&API_Key=***&f=1"),
        ("https://a.example/x?sig=abc&se=2024-01-01", "https://a.example/x?sig=***&se=2024-01-01"),
        ("https://a.example/x?q=0123456789abcdef0123456789abcdef", "https://a.example/x?q=***"),
        ("https://a.example/x?hunter2", "https://a.example/x?***"),
        ("https://a.example/0123456789abcdef0123456789abcdef/recent.csv", "https://a.example/***/recent.csv"),
        (
            "https://a.example/MSTICIoCs-ExchangeServerVulnerabilitiesDisclosedMarch2021.csv",
            "https://a.example/MSTICIoCs-ExchangeServerVulnerabilitiesDisclosedMarch2021.csv",
        ),
        ("http://[::1", "***"),
    ],
)
def test_urls_are_shown_without_their_secrets(url: str, shown: str) -> None:
    assert mask_url(url) == shown
