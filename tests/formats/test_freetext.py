from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tipline.errors import FormatError
from tipline.formats import freetext
from tipline.formats.base import Context
from tipline.formats.freetext import FreetextSettings, extract, media_type

DATA = Path(__file__).parents[1] / "data" / "freetext"


def taken(text: str | bytes, **more: str) -> list[str]:
    rows = extract(text, **more)
    return rows.filter(pl.col("drop").is_null())["value"].to_list()


def refused(text: str) -> dict[str, str]:
    rows = extract(text).filter(pl.col("drop").is_not_null())
    return dict(zip(rows["found"], rows["drop"], strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hxxps[://]evil[.]test-lab.com/a", "https://evil.test-lab.com/a"),
        ("hxxps[]://evil[.]com", "https://evil.com"),
        ("hxxps[:]/evil[.]com/x", "https://evil.com/x"),
        ("hxxp[:]//45[.]77[.]1[.]2[:]8080/a", "http://45.77.1.2:8080/a"),
        ("HXXP://EVIL[.]COM/Path", "http://evil.com/Path"),
        ("h**p://evil.com/x", "http://evil.com/x"),
        ("http:// evil[.]com/x", "http://evil.com/x"),
        ("http:\\/\\/evil.com\\/x", "http://evil.com/x"),
        ("evil [.] com", "evil.com"),
        ("evil(dot)com", "evil.com"),
        ("evil[dot]co[dot]uk", "evil.co.uk"),
        ("evil DOT com", "evil.com"),
        ("evil<.>com", "evil.com"),
        ("evil\\.com", "evil.com"),
        ("evil\\[.\\]com", "evil.com"),
        ("evil[.com", "evil.com"),
        ("ev\u200bil.com", "evil.com"),
        ("ev\u00adil[.]com", "evil.com"),
        ("evil．com", "evil.com"),
        ("mallory[at]evil[.]com", "mallory@evil.com"),
        ("mallory AT evil DOT com", "mallory@evil.com"),
        ("mallory [@] evil.com", "mallory@evil.com"),
        ("2a00[:]1450[:]4001[::]5", "2a00:1450:4001::5"),
        ("2a00[:]1450[:]:5", "2a00:1450::5"),
        ("45.77.1.2/24", "45.77.1.0/24"),
        ("45.77.1[.]2[:]443", "45.77.1.2"),
        ("d41d8cd98f00b204e9800998ecf8427e.one", "d41d8cd98f00b204e9800998ecf8427e"),
        ("ja3: d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "see {}.", "({})", "`{}`", "- {},", "| {} |", '"{}";', "ioc: {}", "**{}**"])
def test_any_way_of_defanging_in_any_surrounding(text: str, expected: str, around: str) -> None:
    assert taken(around.format(text)) == [expected]


def test_a_registry_key_may_hold_blanks() -> None:
    key = "HKEY_CURRENT_USER\\Software\\Microsoft\\Windows NT\\Run Once"
    assert taken(f"it sets\n- {key}\nand more") == [key]
    assert taken("HKLM\\Software\\Run and then more") == ["HKEY_LOCAL_MACHINE\\Software\\Run"]


@pytest.mark.parametrize(
    "text",
    [
        "Some198.0.103.9text",
        "Chrome/96.0.4664.45 and Mozilla/5.0",
        "1.3.6.1.4.1.311 is an OID",
        "C:\\Users\\Public\\in.com, /tmp/evil.sh, ./run.py, ~/a.sh, %TEMP%\\a.com",
        "info_03_23.doc or 04.23.2020.doc",
        "at 12:34:56 from d2:fb:49:24:37:18",
        "System.Net, ASP.Net, document.name, end of it.The next",
        "12309eee-e141-4c21-9f16-40337c549a54",
        "e.g. this, i.e. that, U.S. and Inc.",
        "app.run() and foo.bar(x)",
        "std::string and a::b",
        "00000000000000000000000000000000",
        "2024-11-24T10:11:54Z 10:20",
    ],
)
def test_what_only_looks_a_little_like_an_indicator_is_not_taken(text: str) -> None:
    assert taken(text) == []


@pytest.mark.parametrize(
    ("text", "found", "reason"),
    [
        ("fixed in version 9.8.7.6", "9.8.7.6", "version"),
        ("versions 9.8.7.6 and 9.8.7.9 are", "9.8.7.9", "version"),
        ("see section 4.1.2.3", "4.1.2.3", "version"),
        ("README.md", "README.md", "file-name"),
        ("drops setup.zip there", "setup.zip", "file-name"),
        ("imphash: d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e", "unsupported-type"),
        (
            "commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "3f786850e387550fdab836ed7e6dc881de23001b",
            "unsupported-type",
        ),
        ("hxxp://evil[.]com/[targeted e-mail address]", "hxxp://evil[.]com/[targeted", "placeholder"),
        ("hxxp://evil[.]com/{id}", "hxxp://evil[.]com/{id}", "placeholder"),
        ("https://www.virustotal.com/gui/x", "https://www.virustotal.com/gui/x", "reference"),
        ("mail intel@paloaltonetworks.com", "intel@paloaltonetworks.com", "reference"),
        ("[post](https://other.test-lab.com/a)", "https://other.test-lab.com/a", "reference"),
        ("10.0.0[.]1", "10.0.0[.]1", "not-routable"),
        ("evil[.]notatld", "evil[.]notatld", "unknown-tld"),
        ("*.evil[.]com", "*.evil[.]com", "wildcard"),
        ("http://evil.com/abc...", "http://evil.com/abc...", "truncated"),
    ],
)
def test_a_refusal_says_why(text: str, found: str, reason: str) -> None:
    assert refused(text)[found] == reason


def test_live_links_of_a_text_that_defangs_are_references_and_else_are_not() -> None:
    live = "https://some.blog-about.com/post"
    assert taken(f"{live}\nevil[.]com\n") == ["evil.com"]
    assert taken(f"{live}\nevil.com\n") == [live, "evil.com"]


def test_the_links_of_the_publisher_are_references_and_its_defanged_names_are_not() -> None:
    assert taken("www.acme-research.com and lab.acme-research[.]com", publishers=["acme-research.com"]) == [  # type: ignore[arg-type]
        "lab.acme-research.com"
    ]


def test_a_file_ending_that_is_a_domain_counts_in_a_list_of_domains() -> None:
    assert taken("first.com\nkowalski.pl\nsecond.org\n") == ["first.com", "kowalski.pl", "second.org"]
    assert taken("run kowalski.pl now\n") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("d41d8cd98f00b204e980\n0998ecf8427e", ["d41d8cd98f00b204e9800998ecf8427e"]),
        ("hxxp://evil[.]com/pan-\nel/gate.php", ["http://evil.com/pan-el/gate.php"]),
        ("see evil[.]\ncom", ["evil.com"]),
        ("91.208.197\n[.]167", ["91.208.197.167"]),
        ("hxxp://evil[.]com/a?id=\nabc123", ["http://evil.com/a?id=abc123"]),
        ("hxxp://evil[.]com/a\nhxxp://evil[.]com/b", ["http://evil.com/a", "http://evil.com/b"]),
        ("hxxp://evil[.]com/\nThe next sentence.", ["http://evil.com/"]),
        ("a" * 32 + "\n" + "b" * 32, ["a" * 32, "b" * 32]),
    ],
)
def test_values_broken_over_lines(text: str, expected: list[str]) -> None:
    assert taken(text) == expected


def test_a_value_broken_where_two_blocks_meet_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freetext, "line_blocks", lambda stream, ctx: iter([b"x\nsee evil[.]\n", b"com\nlast[.]com"]))
    path = tmp_path / "report.txt"
    path.write_bytes(b"text")
    frames = freetext.read(path, FreetextSettings(), Context())
    assert [value for frame in frames for value in frame["value"]] == ["evil[.]com", "last[.]com"]


def test_html_gives_its_visible_text_only() -> None:
    page = (
        "<!doctype html><html><head><title>x.com</title><script>var a='bad.com'</script></head><body>"
        "<nav>menu.com</nav><p>see <a href='https://target.test-lab.com/'>evil[.]com</a>, ev<b>il2</b>[<i>.</i>]com"
        "<table><tr><td>45.77.1.2</td><td>45.77.1.3</td></tr></table><pre>line-one.com\nline-two.com</pre></body></html>"
    )
    assert taken(page) == ["evil.com", "evil2.com", "45.77.1.2", "45.77.1.3", "line-one.com", "line-two.com"]


def _pdf(lines: list[str]) -> bytes:
    shown = " ".join(f"({line}) Tj T*" for line in lines)
    stream = f"BT /F1 12 Tf 14 TL 72 720 Td {shown} ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
            b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 5\n0000000000 65535 f \n%strailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(out),
    )


def test_the_text_layer_of_a_pdf() -> None:
    assert taken(_pdf(["Command and control: evil[.]com", "hxxp://evil[.]com/pan-", "el/gate.php"])) == [
        "evil.com",
        "http://evil.com/pan-el/gate.php",
    ]


@pytest.mark.parametrize("body", [b"%PDF-1.4\ngarbage", _pdf([])[:200], _pdf([]), b"%PDF-"])
def test_a_pdf_that_cannot_be_read_says_so(body: bytes) -> None:
    with pytest.raises(FormatError, match="the PDF"):
        extract(body, feed="report.pdf")


def test_media_types() -> None:
    assert media_type(b"%PDF-1.7") == "application/pdf"
    assert media_type(b"\xef\xbb\xbf <!DOCTYPE html>") == "text/html"
    assert media_type(b'<?xml version="1.0"?><rss version="2.0">') == "application/rss+xml"
    assert media_type(b"# Title\n\ntext") == "text/markdown"
    assert media_type(b"text") == "text/plain"


def test_where_a_finding_stands() -> None:
    row = extract("first line\n  - 45.77.1[.]2 was the server  ").row(0, named=True)
    assert row == {
        "value": "45.77.1.2",
        "type": "ipv4",
        "found": "45.77.1[.]2",
        "line": 2,
        "context": "- 45.77.1[.]2 was the server",
        "drop": None,
    }


def test_what_people_marked_in_real_reports_is_found_and_little_else() -> None:
    """The figures of `python -m benchmarks --only freetext`: precision 0.997 and recall 0.992."""
    marked = pl.read_csv(DATA / "expected.tsv", separator="\t", quote_char=None)
    kinds = marked["type"].unique()
    right = wrong = 0
    for path in sorted(p for p in DATA.rglob("*") if p.suffix in (".txt", ".md", ".csv", ".ioc")):
        rows = extract(path.read_bytes()).filter(pl.col("drop").is_null(), pl.col("type").is_in(kinds.implode()))
        found = set(zip(rows["type"], rows["value"], strict=True))
        name = str(path.relative_to(DATA))
        true = set(marked.filter(pl.col("file") == name).select("type", "value").iter_rows())
        right += len(found & true)
        wrong += len(found - true)
    assert right / marked.height > 0.99
    assert right / (right + wrong) > 0.995
