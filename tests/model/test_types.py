from __future__ import annotations

import pytest

from tipline.model import DROP_REASONS, TYPES, direction_of_word, type_of_word

NAMES = (
    "ipv4 ipv6 domain url md5 sha1 sha256 sha512 ssdeep email file-name file-path registry-key mutex "
    "user-agent command-line asn ja3 certificate-sha1 cve"
)


def test_the_table_holds_every_type_once() -> None:
    assert " ".join(TYPES) == NAMES
    assert all(name == row.name for name, row in TYPES.items())


@pytest.mark.parametrize("name", NAMES.split())
def test_a_type_is_known_by_all_its_names(name: str) -> None:
    row = TYPES[name]
    family = {name, "ip"} if name.startswith("ipv") else {name}
    for word in (name, name.upper(), row.stix2, row.minemeld, *row.misp, *row.words):
        if word:
            assert type_of_word(word) in family, word


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("IP", "ip"),
        ("ip\xa0", "ip"),
        ("ip-dst|port", "ip"),
        ("ipv4-addr", "ipv4"),
        ("Intel::ADDR", "ip"),
        ("FileHash-SHA256", "sha256"),
        ("sha-256", "sha256"),
        ("file:hashes.'SHA-256'", "sha256"),
        ("file:hashes.MD5", "md5"),
        ("FileSha1", "sha1"),
        ("CertificateThumbprint", "certificate-sha1"),
        ("hash", "hash"),
        ("hostname", "domain"),
        ("domainname", "domain"),
        ("Email", "email"),
        ("filepath", "file-path"),
        ("URL", "url"),
        ("process", None),
        ("imphash", None),
        ("", None),
    ],
)
def test_words(word: str, kind: str | None) -> None:
    assert type_of_word(word) == kind


def test_direction_of_misp_words() -> None:
    assert [direction_of_word(word) for word in ("ip-src", "ip-dst|port", "ip")] == [
        "inbound",
        "outbound",
        None,
    ]


def test_names_to_write() -> None:
    assert {name: row.defender for name, row in TYPES.items() if row.defender} == {
        "ipv4": "IpAddress",
        "ipv6": "IpAddress",
        "domain": "DomainName",
        "url": "Url",
        "md5": "FileMd5",
        "sha1": "FileSha1",
        "sha256": "FileSha256",
        "certificate-sha1": "CertificateThumbprint",
    }
    assert TYPES["sha256"].stix2 == "file:hashes.'SHA-256'"
    assert TYPES["sha256"].misp[0] == "sha256"
    assert TYPES["ipv4"].sentinel == "NetworkIP"
    assert [row.stix2_number for row in TYPES.values()].count(True) == 1


def test_every_reason_has_a_sentence() -> None:
    assert all(code == code.lower() and " " not in code and text for code, text in DROP_REASONS.items())
