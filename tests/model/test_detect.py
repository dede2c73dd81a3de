from __future__ import annotations

import pytest

from tipline.model import normalise_one


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.2.3.4", "ipv4"),
        ("2606:4700::1", "ipv6"),
        ("evil.com", "domain"),
        ("evil[.]com", "domain"),
        ("*.evil.com", "domain"),
        ("evil.com/x", "url"),
        ("evil.com:8080/x", "url"),
        ("evil.com?x=1", "url"),
        ("u@evil.com/x", "url"),
        ("hxxps://evil.com", "url"),
        ("a@evil.com", "email"),
        ("HKCU\\Software\\x", "registry-key"),
        ("C:\\dir\\.hidden", "file-path"),
        ("%APPDATA%\\x.exe", "file-path"),
        ("cve-2021-44228", "cve"),
        ("AS64500", "asn"),
    ],
)
def test_detected(text: str, kind: str) -> None:
    assert normalise_one(text).type == kind


@pytest.mark.parametrize(
    "text", ["hello", "hello world", "12309eee-e141-4c21-9f16-40337c549a54", "65536", "2022-12-07", "["]
)
def test_not_detected(text: str) -> None:
    assert normalise_one(text).drop == "unknown-type"


@pytest.mark.parametrize("text", ["/etc/passwd", "/a.php?x", "//evil.com/x"])
def test_a_path_needs_a_host(text: str) -> None:
    assert normalise_one(text).drop == "path-only"


def test_words_narrow_detection() -> None:
    assert normalise_one("evil.com", "ip").drop == "bad-ipv4"
    assert normalise_one("2606:4700::1", "IPv4").type == "ipv6"
    assert normalise_one("evil.com", "hash").drop == "bad-hash"


def test_literal_types_are_not_refanged() -> None:
    assert normalise_one("C:\\a[.]b\\c").value == "C:\\a[.]b\\c"
