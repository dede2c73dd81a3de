"""What every dialect keeps: no value breaks out, what is left out is counted, nothing is held whole."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from outputs.dialects import CONTEXT, GOOD, choices, good_rows, of, write, written
from outputs.publishing import engine_of, file_output, list_output, publish, row
from tipline.engine.core import Engine
from tipline.model.types import TYPES
from tipline.outputs.render import SPECS, Dialect, layout, render
from tipline.outputs.render.dialect import FORMATS, Format
from tipline.store.schema import published_table

CHOICES = choices()
EVERY = pytest.mark.parametrize(("name", "t"), CHOICES)
HOSTILE = [
    "\n", "a.example\nserver:", "a.example\r\nb", "a\x00b", "a\tb", 'a"b', "a'b", 'x"; drop;', "a b",
    " a", "\u202egpj.exe", "a\u2028b", "a\x85b", "a\\", '\\"', "a,b", "a;b", "a|b", "a#b", "#a", "!a",
    "-", "", "*", "||a^", "a}b", "{", "$(x)", "../../etc/passwd", "=cmd|' /c calc'!A0", "\xe9.example",
    "a$b", "a.example.", ".a", "a..b", "@", "*.example", "@@a", "32.1.2.0.192.rpz-ip", "rpz-passthru",
    "x" * 64 + ".example", "a." * 130 + "example", "y" * 5000, "<script>", "http://a.example/\n",
    "http://a.example/a b", 'http://a.example/"', "http://a.example/$third-party",
    "http://a.example/a|b", "192.0.2.1; }", "192.0.2.1/24\n10.0.0.1", "http://a.example/'",
    "http://a.example/\\",
]  # fmt: skip

_NAME = r"[a-z0-9_][a-z0-9_.-]*"
_ADDRESS = r"[0-9a-f:.]+(/\d+)?"
_RANGE = r"[0-9a-f:.]+([/-][0-9a-f:.]+)?"
_URL = r"[A-Za-z0-9._~:/?#\[\]@!$&()*+,;=%-]+"
_PRINTED = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"
_ENTRY = rf"{_RANGE}|{_NAME}|{_URL}"
#: What a line of each format may look like.
LINES: dict[Format, str] = {
    "plain": _PRINTED,
    "csv": _PRINTED,
    "splunk": _PRINTED,
    "kql": _PRINTED,
    "panosurl": _URL,
    "edl-url": _URL,
    "mwg": r'type=[a-z]+|"([^"\\]|\\[^\n])*" "[^"\\]*"',
    "bluecoat": rf'define category "bad things"|end|{_URL}',
    "edl-ip": _RANGE,
    "edl-domain": _NAME,
    "fortigate": _ENTRY,
    "checkpoint": (r'#UNIQ-NAME.*|tipline\d+,("[^"]+"|[^",]+),[A-Za-z0-9 -]+,(high|medium|low),medium,A[BV],[^",#]*'),
    "cisco": _ENTRY,
    "squid": _ENTRY,
    "haproxy": _ENTRY,
    "nginx": rf"deny {_ADDRESS};",
    "nftables": rf"# version 7|(add|flush) [a-z]+ inet tipline[a-z0-9_ ;:{{}}-]*|{_ADDRESS},|\}}",
    "ipset": rf"(create|swap) block_list_v[46]n? .*|(flush|destroy) \w+|add block_list_v[46]n {_ADDRESS}",
    "hosts": rf"0\.0\.0\.0 {_NAME}",
    "dnsmasq": rf"local=/{_NAME}/",
    "unbound": rf'server:|local-zone: "{_NAME}\." always_nxdomain',
    "rpz": rf"\$TTL 300|@ IN .*|({_NAME}|\d+\.[0-9a-z.]+\.rpz-ip) CNAME \.",
    "adblock": rf"\[Adblock Plus 2\.0\]|! .*|\|\|{_NAME}\^|\|https?://[A-Za-z0-9._~:/?&=%+-]+\|",
    "suricata": (r'alert (ip|dns|http) [^"()]+ \(msg:"[^"\\;]*"(; [a-z._]+|; content:"[^"\\;:]*"|; [a-z]+:\d+)*;\)'),
    "suricata-dataset": rf"[A-Za-z0-9+/]+=*|{_ADDRESS}",
    "zeek": r"#fields\t.*|[^\t#][^\t]*\tIntel::[A-Z_]+\t[^\t]+\t[^\t]+",
    "wazuh": r'("[^"]+"|[^":]+):[a-z0-9]+',
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_of(
        tmp_path_factory.mktemp("lists"), list_output("x"), list_output("hostile"), list_output("good")
    ) as made:
        types = (*TYPES, "no-such-type")
        publish(made, "hostile", [hostile_row(type_, value) for type_ in types for value in HOSTILE])
        publish(made, "good", good_rows())
        yield made


def hostile_row(type_: str, value: str) -> dict[str, Any]:
    return {
        **row("domain", value, description=value, tags=[value], threat_types=[value], sources=["feed"]),
        "type": type_,
    }


def check_csv(text: str) -> None:
    records = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(record) for record in records}) <= 1
    assert len(records) == text.count("\r\n") == text.count("\n")


def check_suricata(text: str) -> None:
    ids = re.findall(r"sid:(\d+)", text)
    assert len(ids) == len(set(ids))


def check_json_seq(text: str) -> None:
    for record in text.split("\x1e")[1:]:
        assert record.endswith("}\n")
        json.loads(record)


def check_ndjson(text: str) -> None:
    for record in text.splitlines():
        assert json.loads(record)["event"]["kind"] == "enrichment"


WHOLE: dict[Format, Callable[[str], Any]] = {
    "stix1": lambda text: etree.fromstring(text.encode()),
    "stix2": json.loads,
    "csv": check_csv,
    "splunk": check_csv,
    "kql": check_csv,
    "checkpoint": lambda text: list(csv.reader(io.StringIO(text), strict=True)),
    "json": json.loads,
    "carbonblack": json.loads,
    "json-seq": check_json_seq,
    "ecs": lambda text: check_ndjson(text.replace("\x85", "").replace("\u2028", "").replace("\u2029", "")),
    "suricata": check_suricata,
}


def check(name: Format, data: bytes) -> None:
    """Whether every line has its format's syntax."""
    text = data.decode()
    if name in WHOLE:
        WHOLE[name](text)
    if name in LINES:
        ends = "\r\n" if name in {"csv", "splunk", "kql"} else "\n"
        lines = text.split(ends)
        assert lines.pop() == ""
        for line in lines:
            assert re.fullmatch(LINES[name], line), f"{name}: {line!r}"


def test_every_format_is_held_to_a_syntax() -> None:
    assert set(FORMATS) == set(SPECS) == set(LINES) | set(WHOLE)


@EVERY
def test_hostile_values_stay_in_their_place(engine: Engine, name: Format, t: str) -> None:
    for how in (
        of(name, t),
        of(name, t, newest=True),
        of(name, t, options=[("sub", "1"), ("sp", "1"), ("nsl", "1")]),
    ):
        check(name, write(engine, "hostile", how)[0])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.text(max_size=20), max_size=8, unique=True))
def test_no_text_at_all_breaks_a_line(engine: Engine, values: list[str]) -> None:
    values = [value.encode(errors="ignore").decode() for value in values]
    types = ("domain", "url", "file-name")
    publish(engine, "x", [hostile_row(type_, value) for type_ in types for value in dict.fromkeys(values)])
    for name, t in CHOICES:
        check(name, write(engine, "x", of(name, t))[0])


@EVERY
def test_what_is_good_is_written_and_the_rest_counted(engine: Engine, name: Format, t: str) -> None:
    rows, how = good_rows(), of(name, t)
    data, made = write(engine, "good", how)
    check(name, data)
    carried = SPECS[name].carried(how)
    others = [each for each in rows if carried is not None and each["type"] not in carried]
    assert made.left_out >= len(others)
    assert made.rows > 0
    table = published_table(engine.graph.ids["good"])
    with engine.lake.reading() as con:
        for type_ in carried or GOOD:
            rows_of_type = f"(SELECT * FROM {table} WHERE type = '{type_}')"
            assert render(con, rows_of_type, how, io.BytesIO(), CONTEXT).rows > 0, type_


@EVERY
def test_an_empty_list_has_no_records(engine: Engine, name: Format, t: str) -> None:
    data, made = written(engine, [], of(name, t))
    assert (made.rows, made.left_out) == (0, 0)
    around = layout(of(name, t), CONTEXT)
    assert data.startswith(around.head if around.empty is None else around.empty)
    assert data.endswith(around.tail if around.empty is None else around.empty)
    check(name, data)


def fill(table: str) -> str:
    """SQL: ten thousand rows of four types."""
    kinds = {
        "domain": "'d' || i || '.example'",
        "url": "'http://u.example/' || i",
        "md5": "md5(i::VARCHAR)",
        "ipv4": "concat_ws('.', 10, i >> 8, i & 255, 1)",
    }
    value = " ".join(f"WHEN '{name}' THEN {text}" for name, text in kinds.items())
    lo, up = (
        f"CASE WHEN type = 'ipv4' THEN concat('00000000-0000-0000-0000-ffff',"
        f" printf('%08x', ((10 << 24) + (i << 8) + {end})::BIGINT))::UUID END"
        for end in (1, 2)
    )
    types = ", ".join(f"('{name}')" for name in kinds)
    every = f"range(2500) r (i), (VALUES {types}) t (type)"
    rows = f"SELECT *, CASE type {value} END AS value FROM {every}"
    return (
        f"INSERT INTO {table} BY NAME SELECT md5(type || value)::UUID AS key, i::UBIGINT AS kh,"
        f" type, value, {lo} AS lo,"
        f" {up} AS up, ['feed'] AS sources, (i % 100)::UTINYINT AS confidence, TRUE AS actionable,"
        " 0::UTINYINT AS tlp,"
        f" '2026-01-01'::TIMESTAMP AS added, '2026-01-01'::TIMESTAMP AS since FROM ({rows})"
    )


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The same rows, put in once in one order and once in another."""
    with engine_of(tmp_path_factory.mktemp("many"), list_output("up"), list_output("down")) as made:
        up, down = (published_table(made.graph.ids[name]) for name in ("up", "down"))
        with made.lake.writing() as con:
            con.execute(fill(up))
            con.execute(f"INSERT INTO {down} SELECT * FROM {up} ORDER BY key DESC")
        yield made


class Sink(io.RawIOBase):
    """Takes everything, and remembers the largest piece."""

    largest = 0

    def write(self, data: Any) -> int:
        self.largest = max(self.largest, len(data))
        return len(data)


@EVERY
def test_ten_thousand_rows_come_in_one_order_and_in_pieces(crowd: Engine, name: Format, t: str) -> None:
    how = of(name, t)
    up, made = write(crowd, "up", how)
    assert write(crowd, "down", how)[0] == up
    carried = SPECS[name].carried(how) or ("domain", "ipv4", "md5", "url")
    types = len({"domain", "ipv4", "md5", "url"} & set(carried))
    assert made.rows >= types * 2_500
    assert made.left_out == (4 - types) * 2_500
    check(name, up)
    sink, table = Sink(), published_table(crowd.graph.ids["up"])
    with crowd.lake.reading() as con:
        render(con, table, how, sink, CONTEXT)  # type: ignore[arg-type]  # only written to
    # 8,192 records at the most are in memory at a time, whatever the list's length.
    assert sink.largest < 8_192 * 600


@pytest.mark.parametrize("name", [name for name in FORMATS if SPECS[name].pages is True])
def test_marks_are_where_records_start(crowd: Engine, name: Format) -> None:
    how = of(name)
    data, made = write(crowd, "up", how)
    lead = layout(how, CONTEXT).lead
    for record, offset in made.marks[1:]:
        assert data[offset - max(lead, 1) : offset].endswith(b"\n"), (record, offset)
        if not lead:
            head = layout(how, CONTEXT).head
            assert data[len(head) : offset].count(b"\n") == record


@pytest.mark.parametrize("name", ["edl-ip", "edl-url", "edl-domain", "fortigate"])
def test_beyond_a_limit_the_most_trusted_stay(engine: Engine, name: Format) -> None:
    kind, values = {
        "edl-url": ("url", ["http://a.example/", "http://b.example/", "http://c.example/"]),
        "edl-domain": ("domain", ["a.example", "b.example", "c.example"]),
    }.get(name, ("ipv4", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]))
    rows = [row(kind, value, confidence=50 + number % 3) for number, value in enumerate(values)]
    data, made = written(engine, rows, of(name, options=[("most", "2")]))
    bare = [value.removeprefix("http://") for value in values[1:]]
    assert (data.decode().split(), made.left_out) == (bare, 1)


def test_the_later_seen_stay_among_equals(engine: Engine) -> None:
    rows = [row("domain", f"{n}.example", last_seen=datetime.fromisoformat(f"2026-01-{n:02}")) for n in (3, 1, 2)]
    assert written(engine, rows, of("edl-domain", options=[("most", "1")]))[0] == b"3.example\n"


@EVERY
def test_a_file_can_be_written_in_it(name: Format, t: str) -> None:
    options = {"t": t} if t else {}
    output = file_output("f", path="x", format=name, options=options)
    assert output.dialect().format == name
    assert {"type", "value"} <= set(output.shown())


def test_dialects_go_through_json() -> None:
    how = of("bluecoat", options=[("ca", "tags")], newest=True)
    assert Dialect.parse(how.text()) == how
    assert how.values("cd") == ["bad things"]


def test_the_table_of_dialects_names_each(request: pytest.FixtureRequest) -> None:
    page = Path(request.config.rootpath) / "docs" / "reference" / "list-dialects.md"
    text = page.read_text(encoding="utf-8")
    for name, spec in SPECS.items():
        assert f"| `{name}` |" in text
        assert spec.limits.split("; ")[0].replace("|", "\\|") in text, name
