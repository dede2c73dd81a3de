"""The lines format: first words, comments, patterns, hosts files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from tipline.errors import FormatError
from tipline.formats import base, lines
from tipline.formats.base import Context
from tipline.formats.lines import LinesSettings

DATA = Path(__file__).parent.parent / "data"


def read(path: Path, **settings: Any) -> pl.DataFrame:
    frames = list(lines.read(path, LinesSettings(**settings), Context("feed")))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame({"value": []}, schema={"value": pl.String})


def text(tmp_path: Path, body: str, **settings: Any) -> pl.DataFrame:
    path = tmp_path / "feed.txt"
    path.write_bytes(body.encode())
    return read(path, **settings)


def values(frame: pl.DataFrame) -> list[str]:
    return frame["value"].to_list()


def test_inline_comment_with_a_url_is_no_indicator() -> None:
    assert values(read(DATA / "plain/maltrail/prash.txt"))[0] == "tz.gxout.com"
    assert "xn--lirkedin-vkb.com" in values(read(DATA / "plain/maltrail/apt_unc3890.txt"))
    assert values(read(DATA / "plain/maltrail/mass_scanner_cidr.cut.txt"))[0] == "5.63.151.0/24"


def test_first_line_is_not_a_header_and_its_mark_goes() -> None:
    frame = read(DATA / "azure-feeds/VPS_Networks.csv")
    assert (frame.height, values(frame)[0]) == (9750, "68.232.171.0/24")


def test_last_line_needs_no_line_end() -> None:
    assert read(DATA / "plain/maltrail/aboc.txt").height == 48


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("1.2.3.4,bad,2024", "1.2.3.4"),
        ("1.10.16.0/20 ; SBL256894", "1.10.16.0/20"),
        ("1.10.16.0/20;SBL256894", "1.10.16.0/20"),
        ("evil.com#note", "evil.com"),
        ("evil.com,http://other.com/", "evil.com"),
        ("2001:db8::1/64,x", "2001:db8::1/64"),
        ("http://a.com/x;jsessionid=1?q=a,b#frag rest", "http://a.com/x;jsessionid=1?q=a,b#frag"),
        ("hxxp[://]a.com/x,y, seen", "hxxp[://]a.com/x,y"),
        ("a[.]com/x;y#z", "a[.]com/x;y#z"),
        ("a.com:8080/x;y,", "a.com:8080/x;y"),
        ("/add_outstuk.php", "/add_outstuk.php"),
        ("00d71bcfe0af\u00a0C:\\x.xoq", "00d71bcfe0af"),
    ],
)
def test_first_word(tmp_path: Path, line: str, value: str) -> None:
    assert values(text(tmp_path, f"{line}\n")) == [value]


def test_whole_line_without_its_comment(tmp_path: Path) -> None:
    body = "cmd.exe /c del x  # seen in May\nMozilla/4.0 (compatible; x)\n// no\nhttp://a.com/#frag\n"
    assert values(text(tmp_path, body, take="line", comments=["#", "//"])) == [
        "cmd.exe /c del x",
        "Mozilla/4.0 (compatible; x)",
        "http://a.com/#frag",
    ]


def test_line_without_a_word_is_a_bad_row(tmp_path: Path) -> None:
    assert text(tmp_path, "a.com\n,x\n").rows() == [("a.com", None), (",x", "bad-row")]


def test_ignored_lines_are_no_records(tmp_path: Path) -> None:
    assert values(text(tmp_path, "Start\na.com\nend of file\n", ignore=["^[S]", "(?i)END OF"])) == ["a.com"]


def test_pattern_names_fields_and_extra() -> None:
    frame = read(
        DATA / "plain/unit42-iocs/bazarcall-d.txt",
        pattern=r"^(?P<value>[0-9a-f]{64})\s+(?P<extra_path>\S.*)$",
    )
    good = frame.filter(pl.col("drop").is_null())
    assert json.loads(good["extra"][0]) == {"path": r"C:\Users\Public\18482.xoq"}
    assert frame.filter(pl.col("drop") == "bad-row")["value"][0].startswith("APPENDIX D")


def test_pattern_with_a_range_and_a_confidence(tmp_path: Path) -> None:
    frame = text(
        tmp_path,
        "1.1.1.0\t1.1.1.255\t80\n",
        pattern=r"^(?P<start>\S+)\s(?P<end>\S+)\s(?P<confidence>\d+)",
    )
    assert frame.row(0, named=True) == {"confidence": "80", "value": "1.1.1.0-1.1.1.255"}


def test_pattern_takes_linear_time(tmp_path: Path) -> None:
    assert text(tmp_path, "a" * 50_000 + "!\n", pattern=r"^(?P<value>(a+)+)$")["drop"][0] == "bad-row"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "(?P<value>a"}, "not a regular expression"),
        ({"pattern": r"(?P<value>a)(?=b)"}, "look"),
        ({"pattern": r"(?P<valeu>a)"}, "did you mean 'value'"),
        ({"pattern": r"(?P<value>a)(?P<zzz>b)"}, "extra_zzz"),
        ({"pattern": r"(?P<type>a)"}, "no group named value"),
        ({"pattern": r"(?P<value>a)", "dialect": "hosts"}, "exclude each other"),
        ({"ignore": ["("]}, "not a regular expression"),
        ({"comments": ["#", ""]}, "skip every line"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LinesSettings(**settings)


def test_hosts_files_give_names_not_addresses() -> None:
    frame = read(DATA / "plain/hosts/osint.digitalside.it.hosts", dialect="hosts")
    assert (frame.height, frame.row(0)) == (2211, ("10x45.com", "domain"))
    assert read(DATA / "plain/hosts/WindowsSpyBlocker-EXTRA.hosts", dialect="hosts").height == 146


def test_hosts_file_with_local_names_several_names_and_a_comment(tmp_path: Path) -> None:
    local = "127.0.0.1 localhost\n::1 ip6-localhost\n0.0.0.0 0.0.0.0\n"
    body = f"{local}0.0.0.0 a.com b.com # c.com\n::\td.com\nno-address e.com\n"
    frame = text(tmp_path, body, dialect="hosts")
    assert values(frame) == ["a.com", "b.com", "d.com", "no-address e.com"]
    assert frame["drop"].to_list() == [None, None, None, "bad-row"]


def test_empty_list_yields_nothing() -> None:
    assert read(DATA / "plain/cps/dom-bl.txt").height == 0


def test_web_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="web page"):
        text(tmp_path, "\n<!doctype HTML>")


def test_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_LINE_BYTES", base.BLOCK_BYTES)
    with pytest.raises(FormatError, match="line is longer"):
        text(tmp_path, "x" * (3 * base.BLOCK_BYTES))
