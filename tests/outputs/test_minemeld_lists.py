"""Lists as MineMeld wrote them: the expected answers of its own tests, and each difference that we make."""

from __future__ import annotations

import io
import ipaddress
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from outputs.publishing import engine_of, list_output, publish, row
from tipline.api.feedquery import parse_query
from tipline.engine.core import Engine
from tipline.outputs.render import Context, Rendered, render
from tipline.store.schema import published_table

GOLDEN = Path(__file__).parents[1] / "data" / "minemeld" / "golden"
SEEN = {"IPv4": 1550570114477, "URL": 1561029985300, "Domain": 1550566791000}
BOTH = ("", "compat=minemeld")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_of(tmp_path_factory.mktemp("lists"), list_output("x")) as made:
        yield made


def text_of(
    engine: Engine, rows: list[dict[str, Any]], query: str, context: Context | None = None
) -> tuple[str, Rendered]:
    """What an address answers, pages aside."""
    publish(engine, "x", rows)
    out = io.BytesIO()
    with engine.lake.reading() as con:
        asked = parse_query(query, "escape").dialect
        made = render(con, published_table(engine.graph.ids["x"]), asked, out, context or Context("x"))
    assert made.size == len(out.getvalue())
    return out.getvalue().decode(), made


def golden(name: str) -> tuple[str, str]:
    """An expected answer, and the query that it answers."""
    file = next(each for each in GOLDEN.iterdir() if unquote(each.name) == f"{name}.result")
    return file.read_bytes().decode(), name.partition("?")[2]


def golden_rows(name: str) -> list[dict[str, Any]]:
    feed = name.partition("HC")[0]
    at = datetime.fromisoformat("1970-01-01") + timedelta(milliseconds=SEEN[feed])
    if feed == "Domain":
        values = (GOLDEN / "domain.lst").read_text().splitlines()
    else:
        values = golden(f"{feed}HC")[0].splitlines()
    attributes = {"confidence": 100, "sources": ["localdb"], "tlp": 4, "first_seen": at, "last_seen": at}
    kind = {"IPv4": "ipv4", "URL": "url", "Domain": "domain"}[feed]
    return [row(kind, value, **attributes) for value in dict.fromkeys(values)]


def address(line: str) -> int:
    found = re.search(r"\d+\.\d+\.\d+\.\d+", line)
    return int(ipaddress.IPv4Address(found.group())) if found else -1


URLS = [
    "URLHC",
    "URLHC?v=json-seq",
    "URLHC?v=json&tr=1",
    "URLHC?v=csv&f=confidence&f=sources|feeds&f=indicator|url",
    "URLHC?v=mwg",
    "URLHC?v=bluecoat",
    "URLHC?v=bluecoat&cd=test",
    "URLHC?v=panosurl",
    "URLHC?v=panosurl&sp=1",
    "URLHC?v=panosurl&di=1",
    "URLHC?v=panosurl&sp=1&nsl=1",
]
ADDRESSES = [
    "IPv4HC",
    "IPv4HC?v=json-seq",
    "IPv4HC?v=mwg",
]
CIDRS = [
    "IPv4HC?v=json&tr=1",
    "IPv4HC?v=csv&f=confidence&f=sources|feeds&f=indicator|clientip&tr=1",
]


@pytest.mark.parametrize("compat", BOTH)
@pytest.mark.parametrize("name", URLS)
def test_lists_of_urls_are_minemelds_byte_for_byte(engine: Engine, name: str, compat: str) -> None:
    wanted, query = golden(name)
    assert text_of(engine, golden_rows(name), f"{query}&{compat}")[0] == wanted


@pytest.mark.parametrize("name", ADDRESSES)
def test_lists_of_addresses_are_minemelds_byte_for_byte_with_the_switch(engine: Engine, name: str) -> None:
    wanted, query = golden(name)
    assert text_of(engine, golden_rows(name), f"{query}&compat=minemeld")[0] == wanted


@pytest.mark.parametrize("name", [*ADDRESSES, *CIDRS])
def test_lists_of_addresses_are_in_numeric_order_else(engine: Engine, name: str) -> None:
    wanted, query = golden(name)
    text, _ = text_of(engine, golden_rows(name), query)
    assert [address(line) for line in text.split("\n")[1:-1]] == sorted(map(address, wanted.split("\n")[1:-1]))
    assert sorted(re.split(r",?\r?\n|\]", text)) == sorted(re.split(r",?\r?\n|\]", wanted))


@pytest.mark.parametrize("name", ["URLHC?s=5&n=10", "IPv4HC?s=5&n=10"])
def test_parts_of_lists_are_minemelds(engine: Engine, name: str) -> None:
    wanted, query = golden(name)
    asked = parse_query(query, "escape")
    text, _ = text_of(engine, golden_rows(name), "compat=minemeld")
    end = asked.start + (asked.count or 0)
    assert text.splitlines(keepends=True)[asked.start : end] == wanted.splitlines(keepends=True)


def test_what_no_feed_dates_was_seen_when_it_came_in_minemeld_only(engine: Engine) -> None:
    rows = [row("url", "http://a.example/", added=datetime.fromisoformat("2024-01-02"))]
    shown = json.loads(text_of(engine, rows, "v=json&compat=minemeld")[0])[0]["value"]
    assert (shown["first_seen"], shown["last_seen"]) == (1704153600000, 1704153600000)
    assert text_of(engine, rows, "v=csv&f=first_seen&h=0&compat=minemeld")[0] == "1704153600000\r\n"
    assert "first_seen" not in json.loads(text_of(engine, rows, "v=json")[0])[0]["value"]


def test_carbonblack_is_minemelds_but_for_its_logo(engine: Engine) -> None:
    wanted, query = golden("DomainHC?v=carbonblack")
    wanted = re.sub(r'  "icon(?:_small)?": "[^"]*",', "", wanted)
    at = datetime.fromisoformat("1970-01-01") + timedelta(milliseconds=SEEN["Domain"])
    context = Context("DomainHC", 1, at)
    rows = golden_rows("DomainHC")
    assert text_of(engine, rows, f"{query}&compat=minemeld", context)[0] == wanted
    ours = json.loads(text_of(engine, rows, query, context)[0])
    assert ours["reports"][0]["iocs"] == json.loads(wanted)["reports"][0]["iocs"]


def test_an_empty_list_is_a_line_feed_in_minemeld_only(engine: Engine) -> None:
    assert text_of(engine, [], "compat=minemeld")[0] == "\n"
    assert text_of(engine, [], "")[0] == ""
    assert json.loads(text_of(engine, [], "v=carbonblack")[0])["reports"][0]["iocs"] == {
        "ipv4": [],
        "dns": [],
        "md5": [],
    }


def test_aggregated_addresses_are_first_to_last_in_minemeld_only(engine: Engine) -> None:
    rows = [row("ipv4", "10.0.0.0/24"), row("ipv4", "255.255.255.255")]
    assert text_of(engine, rows, "")[0] == "10.0.0.0/24\n255.255.255.255\n"
    wanted = "10.0.0.0-10.0.0.255\n255.255.255.255-255.255.255.255\n"
    assert text_of(engine, rows, "compat=minemeld")[0] == wanted
    assert text_of(engine, rows, "compat=minemeld&tr=1")[0] == text_of(engine, rows, "")[0]


def test_sum_is_the_union_as_cidrs(engine: Engine) -> None:
    rows = [
        row("ipv4", "10.0.0.0/25"),
        row("ipv4", "10.0.0.128-10.0.1.0"),
        row("ipv4", "10.0.0.7"),
        row("ipv6", "2001:db8::/33"),
        row("ipv6", "2001:db8:8000::/33"),
        row("domain", "a.example"),
    ]
    text, made = text_of(engine, rows, "sum=1")
    assert text == "10.0.0.0/24\n10.0.1.0/32\n2001:db8::/32\n"
    assert made.left_out == 1
    assert text_of(engine, rows, "v=edl-ip&sum=1")[0] == "10.0.0.0/24\n10.0.1.0\n2001:db8::/32\n"


def seen(value: str, day: int, kind: str = "domain") -> dict[str, Any]:
    return row(kind, value, last_seen=datetime.fromisoformat(f"2026-01-{day:02}"))


def test_d_brings_what_was_seen_last_first(engine: Engine) -> None:
    rows = [seen("b.example", 1), seen("a.example", 3), seen("c.example", 3), row("domain", "d.example")]
    order = ["c.example", "a.example", "b.example", "d.example"]
    assert text_of(engine, rows, "d=1")[0].split() == order
    assert text_of(engine, rows, "d=0")[0].split() == sorted(order)
    # MineMeld only looked whether it was there; it kept its lists by the time of last sight.
    assert text_of(engine, rows, "d=0&compat=minemeld")[0].split() == order
    assert text_of(engine, rows, "compat=minemeld")[0].split() == order[::-1]


@pytest.mark.parametrize(
    ("value", "ours", "minemelds"),
    [
        ("http://*.com/a", "", "com/a *.com/a"),
        ("http://*", "*/", "*/"),
        ("http://x.example:8080/a", "", ""),
        ("http://*.x.example:8080/a", "", "x.example:8080/a *.x.example:8080/a"),
        ("http://user:pw@x.example/a", "", "user:pw@x.example/a"),
        ("HTTP://X.example/A", "x.example/a", "x.example/a"),
        ("http://a*b.example/", "", ""),
        ("http://x.example/a*b", "x.example/*", "x.example/*"),
    ],
)
def test_panosurl(engine: Engine, value: str, ours: str, minemelds: str) -> None:
    rows = [row("url", value)]
    assert text_of(engine, rows, "v=panosurl")[0].strip().split("\n") == ours.replace(" ", "\n").split("\n")
    text, made = text_of(engine, rows, "v=panosurl&compat=minemeld")
    assert sorted(text.split()) == sorted(minemelds.split())
    assert made.left_out == (0 if minemelds else 1)


def test_panosurl_writes_each_line_once(engine: Engine) -> None:
    rows = [row("domain", "x.example"), row("url", "http://x.example/"), row("url", "https://x.example")]
    text, made = text_of(engine, rows, "v=panosurl")
    assert (text, made.left_out) == ("x.example/\n", 0)
    assert text_of(engine, rows, "v=panosurl&compat=minemeld")[0] == "x.example/\n" * 3


def test_mwg_of_addresses(engine: Engine) -> None:
    rows = [row("ipv4", "10.0.0.0-10.0.0.2", sources=["b", "c"]), row("domain", "a.example")]
    text, made = text_of(engine, rows, "v=mwg&t=ip")
    assert text == 'type=ip\n"10.0.0.0/31" "b,c"\n"10.0.0.2" "b,c"\n'
    assert made.left_out == 1


@pytest.mark.parametrize("value", ['a"', '"', 'a\\"b', "\\", 'say "so"\\'])
def test_a_value_stays_inside_its_quotes(engine: Engine, value: str) -> None:
    text, made = text_of(engine, [row("file-name", value)], "v=mwg")
    if "\\" in value:
        assert (text, made.left_out) == ("type=string\n", 1)
    else:
        quoted = value.replace('"', '\\"')
        assert text == f'type=string\n"{quoted}" "feed"\n'


def test_categories_of_bluecoat(engine: Engine) -> None:
    rows = [
        row(
            "url",
            "http://a.example/",
            extra='{"bc_category": ["two words", "one", "bad\\"quote", "end\\nx"]}',
        ),
        row("url", "http://b.example/", extra='{"bc_category": "one", "mine": "other"}'),
        row("domain", "c.example", tags=["one"]),
        row("domain", "d.example", extra='{"bc_category": {"no": "list"}}'),
        row("md5", "ab" * 16, extra='{"bc_category": "one"}'),
    ]
    text, made = text_of(engine, rows, "v=bluecoat")
    assert text == 'define category "two words"\na.example/\nend\ndefine category one\na.example/\nb.example/\nend\n'
    assert made.left_out == 3
    assert text_of(engine, rows, "v=bluecoat&ca=tags")[0] == "define category one\nc.example\nend\n"
    assert text_of(engine, rows, "v=bluecoat&ca=mine&cd=p&cd=q")[0].count("define category") == 3


def test_carbonblack_has_single_addresses_and_no_endless_networks(engine: Engine) -> None:
    rows = [
        row("ipv4", "10.0.0.8/30"),
        row("ipv4", "255.255.255.254/31"),
        row("ipv4", "12.0.0.0/8"),
        row("md5", "ab" * 16),
        row("domain", 'a"b.example'),
    ]
    text, made = text_of(engine, rows, "v=carbonblack&rt=Our%20%22title%22&rs=55")
    report = json.loads(text)["reports"][0]
    assert (report["title"], report["score"]) == ('Our "title"', 55)
    assert report["iocs"]["ipv4"] == [
        "10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11", "255.255.255.254", "255.255.255.255",
    ]  # fmt: skip
    assert (report["iocs"]["dns"], report["iocs"]["md5"]) == ([], ["ab" * 16])
    assert made.left_out == 2
