from __future__ import annotations

import pytest

from tipline.model import normalise_one

MD5, SHA1 = "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709"
SHA256, SHA512 = "ab" * 32, "CD" * 64
SSDEEP = "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C"


@pytest.mark.parametrize(
    ("text", "kind"),
    [(MD5, "md5"), (SHA1, "sha1"), (SHA256, "sha256"), (SHA512, "sha512"), (MD5.upper(), "md5")],
)
def test_length_tells_the_type(text: str, kind: str) -> None:
    for word in (None, "hash", "file", kind):
        assert normalise_one(text, word)[:2] == (kind, text.lower())


@pytest.mark.parametrize("text", [MD5[:-1], MD5 + "0", "g" * 32, "82e6" * 15 + "abc", ""])
def test_nothing_is_cut_or_padded(text: str) -> None:
    assert normalise_one(text, "hash").drop == ("bad-hash" if text else "empty")


def test_a_hash_of_another_length_than_its_type_is_refused() -> None:
    assert normalise_one(SHA256, "md5").drop == "bad-hash"


@pytest.mark.parametrize(
    ("text", "word", "value", "extra"),
    [
        (f"sha256:{SHA256}", "sha256", SHA256, None),
        (f"SHA-256={SHA256}", "hash", SHA256, None),
        (f"x.exe|{MD5}", "filename|md5", MD5, '{"file_name": "x.exe"}'),
        (f"{SHA256}.one", None, SHA256, '{"suffix": ".one"}'),
        (f"{MD5}.exe", "md5", MD5, '{"suffix": ".exe"}'),
    ],
)
def test_what_stands_around_a_hash_goes_to_extra(text: str, word: str, value: str, extra: str | None) -> None:
    verdict = normalise_one(text, word)
    assert (verdict.value, verdict.extra) == (value, extra)


def test_an_md5_as_a_label_is_a_domain() -> None:
    assert normalise_one(f"{MD5}.com").value == f"{MD5}.com"


@pytest.mark.parametrize("mark", [",", " ", "; ", "|"])
def test_several_hashes_in_one_cell_are_named_as_such(mark: str) -> None:
    for word in (None, "md5", "hash"):
        assert normalise_one(mark.join((MD5, SHA1)), word).drop == "several-values"


def test_ssdeep_keeps_its_case_and_a_time_is_none() -> None:
    assert normalise_one(SSDEEP)[:2] == ("ssdeep", SSDEEP)
    assert normalise_one("10:20:30").type != "ssdeep"


def test_fingerprints_need_their_type() -> None:
    assert normalise_one(MD5, "ja3-fingerprint-md5")[:2] == ("ja3", MD5)
    colons = ":".join(SHA1[place : place + 2] for place in range(0, 40, 2)).upper()
    assert normalise_one(colons, "x509-fingerprint-sha1")[:2] == ("certificate-sha1", SHA1)
    assert normalise_one(MD5, "certificate-sha1").drop == "bad-hash"
