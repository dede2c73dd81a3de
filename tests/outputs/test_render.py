"""What the text of a list looks like."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outputs.publishing import engine_of, list_output, publish, row
from tipline.engine.core import Engine
from tipline.outputs.render import Dialect, Rendered, render
from tipline.outputs.render.dialect import Format, dialect, parse_field
from tipline.store.schema import published_table

GOLDEN = Path(__file__).parents[1] / "data" / "minemeld" / "golden"
CSV_IP = "IPv4HC%3Fv%3Dcsv%26f%3Dconfidence%26f%3Dsources%7Cfeeds%26f%3Dindicator%7Cclientip%26tr%3D1.result"
CSV_URL = "URLHC%3Fv%3Dcsv%26f%3Dconfidence%26f%3Dsources%7Cfeeds%26f%3Dindicator%7Curl.result"
CONTROLS = ["\n", "\r", "\0", "\t", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_of(tmp_path_factory.mktemp("lists"), list_output("x")) as made:
        yield made


def text_of(engine: Engine, rows: list[dict[str, Any]], how: Dialect) -> tuple[str, Rendered]:
    publish(engine, "x", rows)
    out = io.BytesIO()
    with engine.lake.reading() as con:
        made = render(con, published_table(engine.graph.ids["x"]), how, out)
    assert made.size == len(out.getvalue())
    return out.getvalue().decode(), made


def csv_of(*fields: str, **options: Any) -> Dialect:
    return dialect("csv", tuple(parse_field(field) for field in fields), **options)


def golden_rows(name: str, type_: str, seen: int) -> list[dict[str, Any]]:
    at = datetime.fromisoformat("1970-01-01") + timedelta(milliseconds=seen)
    values = (GOLDEN / name).read_text().splitlines()
    attributes = {"confidence": 100, "sources": ["localdb"], "tlp": 4, "first_seen": at, "last_seen": at}
    return [row(type_, value, **attributes) for value in values]


def numeric(line: str) -> int:
    found = re.search(r"\d+\.\d+\.\d+\.\d+", line)
    assert found
    return int(ipaddress.IPv4Address(found.group()))


def test_plain_is_one_value_a_line_by_type_then_value_and_addresses_by_number(engine: Engine) -> None:
    rows = [
        row("url", "http://b.example/"),
        row("ipv4", "10.0.0.10"),
        row("domain", "b.example"),
        row("ipv6", "2001:db8::10"),
        row("ipv4", "9.0.0.0/8"),
        row("domain", "B.example"),
        row("ipv6", "2001:db8::9"),
        row("ipv4", "10.0.0.9-10.0.0.12"),
        row("domain", "ä.example"),
        row("domain", "z.example"),
    ]
    text, made = text_of(engine, rows, Dialect())
    assert text.splitlines() == [
        "B.example",
        "b.example",
        "z.example",
        "ä.example",
        "9.0.0.0/8",
        "10.0.0.9-10.0.0.12",
        "10.0.0.10",
        "2001:db8::9",
        "2001:db8::10",
        "http://b.example/",
    ]
    assert (made.rows, made.left_out) == (10, 0)


@pytest.mark.parametrize(("how", "text"), [("plain", ""), ("csv", "indicator\r\n"), ("json", "[\n]\n")])
def test_an_empty_list_is_empty(engine: Engine, how: Format, text: str) -> None:
    assert text_of(engine, [], dialect(how))[0] == text


def test_ranges_become_minimal_cidrs_and_a_single_address_has_no_length(engine: Engine) -> None:
    rows = [row("ipv4", "1.1.1.0-1.1.1.32"), row("ipv4", "2.0.0.1"), row("ipv6", "2001:db8::1-2001:db8::2")]
    text, _ = text_of(engine, rows, Dialect(cidrs=True))
    assert text.split() == ["1.1.1.0/27", "1.1.1.32", "2.0.0.1", "2001:db8::1", "2001:db8::2"]


def test_csv_of_addresses_is_minemelds_but_for_numeric_order(engine: Engine) -> None:
    wanted = (GOLDEN / CSV_IP).read_bytes().decode().split("\r\n")
    how = csv_of("confidence", "sources|feeds", "indicator|clientip", cidrs=True)
    text, _ = text_of(engine, golden_rows("IPv4HC.result", "ipv4", 0), how)
    assert text.split("\r\n") == [wanted[0], *sorted(wanted[1:-1], key=numeric), ""]


def test_csv_of_urls_is_minemelds_byte_for_byte(engine: Engine) -> None:
    how = csv_of("confidence", "sources|feeds", "indicator|url")
    text, _ = text_of(engine, golden_rows("URLHC.result", "url", 0), how)
    assert text.encode() == (GOLDEN / CSV_URL).read_bytes()


def test_plain_urls_are_minemelds_byte_for_byte(engine: Engine) -> None:
    text, _ = text_of(engine, golden_rows("URLHC.result", "url", 0), Dialect())
    assert text.encode() == (GOLDEN / "URLHC.result").read_bytes()


def test_json_of_urls_is_minemelds_byte_for_byte(engine: Engine) -> None:
    text, _ = text_of(engine, golden_rows("URLHC.result", "url", 1561029985300), dialect("json", cidrs=True))
    assert text.encode() == (GOLDEN / "URLHC%3Fv%3Djson%26tr%3D1.result").read_bytes()


def test_json_of_addresses_is_minemelds_but_for_numeric_order(engine: Engine) -> None:
    wanted = (GOLDEN / "IPv4HC%3Fv%3Djson%26tr%3D1.result").read_text()
    lines = [line.rstrip(",]") for line in wanted.splitlines()[1:]]
    rows = golden_rows("IPv4HC.result", "ipv4", 1550570114477)
    text, _ = text_of(engine, rows, dialect("json", cidrs=True))
    assert text == "[\n" + ",\n".join(sorted(lines, key=numeric)) + "]\n"


def test_every_field_has_its_form(engine: Engine) -> None:
    at = datetime.fromisoformat("2026-01-02T03:04:05.678")
    full = row(
        "sha256",
        "ab" * 32,
        confidence=7,
        sources=["a", "b"],
        tlp=3,
        direction="inbound",
        tags=["x", "y,z"],
        first_seen=at,
        last_seen=at,
        valid_until=at,
        threat_types=["c2"],
        description='Said "so"',
        refs=["https://r.example/"],
        extra='{"asn": 64496, "who": {"a": 1}}',
    )
    names = [
        "type",
        "confidence",
        "sources",
        "share_level",
        "tlp",
        "direction",
        "actionable",
        "first_seen",
        "valid_until",
        "tags",
        "threat_types",
        "description",
        "references",
        "added",
        "since",
        "asn",
        "who",
        "none",
    ]
    text, _ = text_of(engine, [full], csv_of(*names))
    ms = 1767323045678
    start = 1767268800000
    assert list(csv.reader(io.StringIO(text))) == [
        names,
        [
            "sha256",
            "7",
            "a,b",
            "amber",
            "amber+strict",
            "inbound",
            "true",
            str(ms),
            str(ms),
            "x,y,z",
            "c2",
            'Said "so"',
            "https://r.example/",
            str(start),
            str(start),
            "64496",
            '{"a":1}',
            "",
        ],
    ]
    (whole,) = json.loads(text_of(engine, [full], dialect("json"))[0])
    assert whole["value"] == {
        "type": "sha256",
        "confidence": 7,
        "sources": ["a", "b"],
        "share_level": "amber",
        "direction": "inbound",
        "first_seen": ms,
        "last_seen": ms,
        "valid_until": ms,
        "tags": ["x", "y,z"],
        "threat_types": ["c2"],
        "description": 'Said "so"',
        "references": ["https://r.example/"],
        "asn": 64496,
        "who": {"a": 1},
    }
    chosen = dialect("json", (("tags", "labels"), ("asn", "asn"), ("none", "none"), ("tlp", "tlp")))
    (some,) = json.loads(text_of(engine, [full], chosen)[0])
    assert some["value"] == {"labels": ["x", "y,z"], "asn": 64496, "tlp": "amber+strict"}


def test_keys_of_extra_never_replace_ours_and_broken_extra_is_left_out(engine: Engine) -> None:
    rows = [
        row("domain", "a.example", extra='{"confidence": 100, "k": "v"}'),
        row("domain", "b.example", extra="{broken"),
        row("domain", "c.example", extra="[1]"),
    ]
    found = [each["value"] for each in json.loads(text_of(engine, rows, dialect("json"))[0])]
    assert [each["confidence"] for each in found] == [50, 50, 50]
    assert [each.get("k") for each in found] == ["v", None, None]


def test_types_are_called_as_minemeld_called_them(engine: Engine) -> None:
    rows = [row("ipv4", "9.9.9.9"), row("email", "a@b.example"), row("cve", "CVE-2024-1")]
    text, _ = text_of(engine, rows, csv_of("indicator", "type", header=False))
    assert text.split("\r\n") == ["CVE-2024-1,cve", "a@b.example,email-addr", "9.9.9.9,IPv4", ""]


@pytest.mark.parametrize("control", CONTROLS)
def test_a_value_that_would_break_its_line_is_left_out_and_counted(engine: Engine, control: str) -> None:
    rows = [row("file-name", f"a{control}evil.example"), row("file-name", "b.exe")]
    assert text_of(engine, rows, Dialect()) == ("b.exe\n", Rendered(1, 1, 6, ((0, 0),)))
    text, made = text_of(engine, rows, csv_of("indicator", header=False))
    assert (text, made.left_out) == ("b.exe\r\n", 1)
    kept, made = text_of(engine, rows, dialect("json"))
    assert [each["indicator"] for each in json.loads(kept)] == [rows[0]["value"], "b.exe"]
    assert made.left_out == 0


@pytest.mark.parametrize("control", [*CONTROLS, "\r\n", "\u202e", "\u200f", "\u2066"])
def test_a_description_cannot_break_a_line_or_turn_its_direction(engine: Engine, control: str) -> None:
    rows = [row("domain", "a.example", description=f"one{control}two")]
    text, _ = text_of(engine, rows, csv_of("indicator", "description", header=False))
    assert text == f"a.example,one{' ' * len(control)}two\r\n"


def test_direction_marks_in_a_value_are_evidence_and_stay(engine: Engine) -> None:
    name = "invoice\u202efdp.exe"
    assert text_of(engine, [row("file-name", name)], Dialect())[0] == f"{name}\n"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1", '=HYPERLINK("x")'])
def test_a_spreadsheet_is_given_no_formula(engine: Engine, cell: str) -> None:
    rows = [row("domain", "a.example", description=cell, tags=[cell])]
    fields = ("description", "tags")
    (found,) = csv.reader(io.StringIO(text_of(engine, rows, csv_of(*fields, header=False))[0]))
    assert all(each.startswith("'") for each in found)
    (kept,) = csv.reader(io.StringIO(text_of(engine, rows, csv_of(*fields, header=False, formulas="keep"))[0]))
    assert all(each.strip() == cell.strip() for each in kept)


def test_values_and_names_of_columns_are_given_no_formula_either(engine: Engine) -> None:
    text, _ = text_of(engine, [row("command-line", "=cmd|' /c calc'!A0")], csv_of("indicator|=1"))
    assert text == "'=1\r\n'=cmd|' /c calc'!A0\r\n"


def test_markup_is_only_text(engine: Engine) -> None:
    script = "<script>alert('x', \"y\")</script>"
    rows = [row("domain", "a.example", description=script)]
    (found,) = csv.reader(io.StringIO(text_of(engine, rows, csv_of("description", header=False))[0]))
    assert found == [script]
    (element,) = json.loads(text_of(engine, rows, dialect("json"))[0])
    assert element["value"]["description"] == script


def test_a_field_or_column_cannot_reach_sql(engine: Engine) -> None:
    rows = [row("domain", "a.example", extra='{"k": "v"}')]
    how = dialect("json", (("k", 'it\'s "so"\\'),))
    (element,) = json.loads(text_of(engine, rows, how)[0])
    assert element["value"] == {'it\'s "so"\\': "v"}
    for name in ("x'--", 'x"', "$.k", "a b", "", "é", "x" * 65, "a|b\nc", "a|" + "c" * 65):
        with pytest.raises(ValueError, match=r"write f=|cannot name"):
            parse_field(name)


def test_an_empty_record_of_one_cell_is_no_blank_line(engine: Engine) -> None:
    text, _ = text_of(engine, [row("domain", "a.example")], csv_of("description", header=False))
    assert text == '""\r\n'


def test_a_byte_order_mark_comes_first(engine: Engine) -> None:
    assert text_of(engine, [], csv_of("indicator", bom=True))[0] == "\ufeffindicator\r\n"


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=60, deadline=None)
@given(value=cells, description=cells, tags=st.lists(cells, max_size=3))
def test_whatever_it_holds_a_row_is_one_line_and_reads_back(
    engine: Engine, value: str, description: str, tags: list[str]
) -> None:
    rows = [row("file-name", f"f{value}", description=description, tags=tags)]
    (element,) = json.loads(text_of(engine, rows, dialect("json"))[0])
    assert element["indicator"] == f"f{value}"
    assert element["value"]["description"] == description
    assert element["value"]["tags"] == tags
    text, made = text_of(engine, rows, csv_of("indicator", "description", "tags", header=False))
    records = list(csv.reader(io.StringIO(text, newline="")))
    assert len(records) == made.rows == len(text.splitlines())
    assert all(record[0] == f"f{value}" and len(record) == 3 for record in records)
    plain, made = text_of(engine, rows, Dialect())
    assert len(plain.splitlines()) == made.rows == 1 - made.left_out
