"""Decompression, bombs, character sets."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tipline.errors import ConfigError, FetchError, FormatError
from tipline.formats import decode as decode_module
from tipline.formats.decode import Decoded, Limits, decode

DATA = Path(__file__).parent.parent / "data"
TEXT = b"a.com\nb.com\n" * 1000


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return out.getvalue()


PACKERS: dict[str, Any] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "zip": lambda body: zipped(("feed.csv", body)),
}


def run(tmp_path: Path, body: bytes, **options: Any) -> Decoded:
    src = tmp_path / "body"
    src.write_bytes(body)
    return decode(src, tmp_path, feed="feed", **options)


def left_over(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_bodies_are_told_by_their_first_bytes(tmp_path: Path, kind: str) -> None:
    assert run(tmp_path, PACKERS[kind](TEXT)).path.read_bytes() == TEXT
    assert len(left_over(tmp_path)) == 1


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz", "zstd"])
def test_several_streams_behind_one_another(tmp_path: Path, kind: str) -> None:
    assert run(tmp_path, PACKERS[kind](TEXT) + PACKERS[kind](TEXT)).path.read_bytes() == TEXT * 2


def test_plain_text_is_not_copied(tmp_path: Path) -> None:
    found = run(tmp_path, TEXT)
    assert (found.path, found.warnings) == (tmp_path / "body", [])


def test_two_layers_are_undone_and_three_refused(tmp_path: Path) -> None:
    twice = gzip.compress(PACKERS["zip"](TEXT))
    assert run(tmp_path, twice).path.read_bytes() == TEXT
    with pytest.raises(FormatError, match="more than twice"):
        run(tmp_path, gzip.compress(twice))
    assert len(left_over(tmp_path)) == 1


@pytest.mark.parametrize("kind", PACKERS)
def test_bombs_are_refused_before_they_fill_the_disk(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "_FREE_BYTES", 1 << 20)
    bomb = PACKERS[kind](bytes(8 << 20))
    with pytest.raises(FormatError, match=r"decompression bomb.*max_ratio"):
        run(tmp_path, bomb, limits=Limits(max_ratio=20))
    with pytest.raises(FormatError, match=r"larger than 2,000,000 bytes when unpacked.*max_unpacked"):
        run(tmp_path, bomb, limits=Limits(max_bytes=2_000_000, max_ratio=10**9))
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged_and_cut_off_bodies_are_refused(tmp_path: Path, kind: str) -> None:
    body = PACKERS[kind](bytes(range(256)) * 40)
    with pytest.raises(FormatError, match="damaged or cut off"):
        run(tmp_path, body[: len(body) * 2 // 3])
    assert left_over(tmp_path) == []


def test_member_of_a_zip_archive(tmp_path: Path) -> None:
    body = zipped(("docs/", b""), ("a.csv", TEXT), ("__MACOSX/a.csv", b"x"), ("readme.txt", b"hello"))
    assert run(tmp_path, body, member="*.csv").path.read_bytes() == TEXT
    with pytest.raises(FormatError, match=r"2 files.*a.csv, readme.txt"):
        run(tmp_path, body)
    with pytest.raises(FormatError, match=r"none of them match '\*.json'"):
        run(tmp_path, body, member="*.json")
    with pytest.raises(FormatError, match="one of: nothing"):
        run(tmp_path, zipped())


def test_encrypted_member_is_refused(tmp_path: Path) -> None:
    body = bytearray(zipped(("a.csv", TEXT)))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(signature) + flags] |= 1
    with pytest.raises(FormatError, match="encrypted"):
        run(tmp_path, bytes(body))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_decide(tmp_path: Path, encoding: str) -> None:
    found = run(tmp_path, "bücher.example\n".encode(encoding), charset="cp1252")
    assert found.path.read_bytes().decode("utf-8-sig") == "bücher.example\n"


def test_charset_that_the_user_says(tmp_path: Path) -> None:
    assert run(tmp_path, "почта\n".encode("koi8-r"), charset="koi8-r").path.read_text("utf-8") == "почта\n"
    assert run(tmp_path, "a\n".encode("utf-16-le"), charset="utf-16-le").path.read_text("utf-8") == "a\n"
    with pytest.raises(ConfigError, match="not a known character set"):
        run(tmp_path, b"x", charset="utf-9")


def test_charset_that_the_server_says_counts_only_if_the_body_is_not_utf8(tmp_path: Path) -> None:
    assert run(tmp_path, "bücher\n".encode(), hint="iso-8859-1").path == tmp_path / "body"
    found = run(tmp_path, "почта почта\n".encode("cp1251"), hint="windows-1251")
    assert found.path.read_text("utf-8") == "почта почта\n"
    assert found.warnings == [
        "feed: the body is not UTF-8; read as cp1251, as the server says; set `charset` to be sure"
    ]


def test_mac_roman_space_costs_no_row_and_is_told(tmp_path: Path) -> None:
    found = decode(DATA / "plain/unit42-iocs/silverterrier-domains18.cut.csv", tmp_path, feed="silver")
    rows = found.path.read_text("utf-8").splitlines()
    assert "abastostelano.com\u00a0,Associated w/ Malware Actor" in rows
    assert len(rows) == 400
    assert found.warnings[0].startswith("silver: the body is not UTF-8; read as mac-roman")


def test_windows_text_is_told_from_mac_text(tmp_path: Path) -> None:
    body = "café “Müller” – naïve\n"
    assert run(tmp_path, body.encode("cp1252")).path.read_text("utf-8") == body


def test_damaged_utf8_stays_utf8(tmp_path: Path) -> None:
    found = run(tmp_path, "пример\n".encode() * 3 + b"bad\xff.com\n" + "почта\n".encode())
    assert found.path.read_text("utf-8").splitlines()[3:] == ["bad\ufffd.com", "почта"]
    assert found.warnings == ["feed: 1 bytes are not utf-8 and were replaced"]


def test_old_mac_line_ends_become_line_feeds(tmp_path: Path) -> None:
    assert run(tmp_path, b"a.com\rb.com\r").path.read_bytes() == b"a.com\nb.com\n"


def test_binary_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="binary data, beginning with 00 01 02"):
        run(tmp_path, bytes(range(32)) * 10)


def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield b""

    monkeypatch.setattr(decode_module, "unpacked", full)
    with pytest.raises(FetchError, match=r"disk that holds .* is full"):
        run(tmp_path, gzip.compress(TEXT))
    assert left_over(tmp_path) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_any_bytes_become_utf8_or_are_refused(tmp_path: Path, body: bytes) -> None:
    try:
        found = run(tmp_path, body)
    except FormatError:
        return
    found.path.read_bytes().decode("utf-8")
