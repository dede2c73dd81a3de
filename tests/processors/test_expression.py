"""The filter language: against Python's own evaluation, its errors, and what hostile text does to it."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.errors import ConfigError
from tipline.processors.expression import Clock, compile_filter

NOW = datetime.fromisoformat("2024-06-01T12:00:00")
AS_OF = f"TIMESTAMP '{NOW}'"
TLP = ["clear", "green", "amber", "amber+strict", "red"]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
EQUALITY = ["==", "=", "!="]
WORDS = [
    "phish",
    "c2",
    "O'Neil",
    'a"b',
    "back\\slash",
    "Phish",
    "100%",
    "x_y",
    "; DROP TABLE t; --",
    "$1",
    "é",
]
Row = dict[str, Any]
Test = Callable[[Row, datetime], bool]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def known(get: Callable[[Row], Any], op: str, value: Any) -> Test:
    """A comparison as the language means it: false where the attribute is missing."""
    return lambda row, _: get(row) is not None and OPERATORS[op](get(row), value)


def host(row: Row) -> str | None:
    return ".".join(reversed(row["rhost"].rstrip(".").split("."))) if row["rhost"] else None


def port(row: Row) -> str | None:
    found = json.loads(row["extra"]).get("port") if row["extra"] else None
    return None if found is None else str(found)


def age(column: str) -> Callable[[Row, datetime], timedelta]:
    return lambda row, at: at - (row[column] or row["added"])


TEXTS: dict[str, Callable[[Row], str | None]] = {
    "value": lambda r: r["value"],
    "description": lambda r: r["description"],
    "host": host,
    "extra.port": port,
}
LISTS = {"tags": "tags", "sources": "sources", "threat_types": "threat_types", "references": "refs"}
FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda a, b: b in a, "startswith": str.startswith, "endswith": str.endswith,
}  # fmt: skip
words = st.sampled_from(WORDS)
ops = st.sampled_from(list(OPERATORS))


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, Test]:
    op, n = draw(ops), draw(st.integers(0, 100))
    if draw(st.booleans()):
        return f"confidence {op} {n}", known(lambda r: r["confidence"], op, n)
    get = TEXTS["extra.port"]
    return (
        f"extra.port {op} {n}",
        lambda row, _: (get(row) or "").isdigit() and OPERATORS[op](int(get(row) or 0), n),
    )


@st.composite
def levels(draw: st.DrawFn) -> tuple[str, Test]:
    op, n = draw(ops), draw(st.integers(0, 4))
    literal = draw(st.sampled_from([TLP[n], quoted(TLP[n])]))
    return f"tlp {op} {literal}", known(lambda r: r["tlp"], op, n)


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, Test]:
    name, op, word = draw(st.sampled_from(list(TEXTS))), draw(st.sampled_from(EQUALITY)), draw(words)
    return f"{name} {op} {quoted(word)}", known(TEXTS[name], op, word)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, Test]:
    name, function, word = (
        draw(st.sampled_from(list(TEXTS))),
        draw(st.sampled_from(list(FUNCTIONS))),
        draw(words),
    )
    get, test = TEXTS[name], FUNCTIONS[function]
    if draw(st.booleans()):
        return f"{function}(lower({name}), {quoted(word)})", lambda r, _: test((get(r) or "\0").lower(), word)
    return f"{function}({name}, {quoted(word)})", lambda r, _: test(get(r) or "\0", word)


@st.composite
def members(draw: st.DrawFn) -> tuple[str, Test]:
    name, word, negated = draw(st.sampled_from(list(LISTS))), draw(words), draw(st.booleans())
    column = LISTS[name]
    return f"{quoted(word)} {'not ' * negated}in {name}", lambda r, _: (word in (r[column] or [])) != negated


@st.composite
def choices(draw: st.DrawFn) -> tuple[str, Test]:
    name, some, negated = (
        draw(st.sampled_from(list(TEXTS))),
        draw(st.lists(words, min_size=1)),
        draw(st.booleans()),
    )
    get = TEXTS[name]
    sql = f"{name} {'NOT ' * negated}IN ({', '.join(map(quoted, some))})"
    return sql, lambda r, _: get(r) is not None and (get(r) in some) != negated


@st.composite
def nulls(draw: st.DrawFn) -> tuple[str, Test]:
    op = draw(st.sampled_from(EQUALITY))
    name = draw(st.sampled_from(["description", "first_seen", "valid_until", "tags", "refs"]))
    field = {"refs": "references"}.get(name, name)
    return f"{field} {op} null", lambda r, _: (not r[name]) == (op != "!=")


@st.composite
def times(draw: st.DrawFn) -> tuple[str, Test]:
    op, days = draw(ops), draw(st.integers(0, 5))
    when = NOW - timedelta(days=days)
    return f"first_seen {op} '{when.isoformat()}'", known(lambda r: r["first_seen"], op, when)


@st.composite
def ages(draw: st.DrawFn) -> tuple[str, Test]:
    op, hours = draw(ops), draw(st.sampled_from([0, 24, 48, 72, 96]))
    name, column = draw(st.sampled_from([("age", "first_seen"), ("seen_age", "last_seen")]))
    get, limit = age(column), timedelta(hours=hours)
    literal = draw(st.sampled_from([f"{hours}h", f"{hours // 24}d"]))
    return f"{name} {op} {literal}", lambda r, at: OPERATORS[op](get(r, at), limit)


flags = st.sampled_from(
    [
        ("actionable", lambda r, _: bool(r["actionable"])),
        ("actionable == false", lambda r, _: r["actionable"] is False),
        ("true", lambda _r, _a: True),
        ("type = 'ipv4'", lambda r, _: r["type"] == "ipv4"),
        ("type in ('domain', 'url')", lambda r, _: r["type"] in ("domain", "url")),
        ("size >= 256", lambda r, _: r["type"] == "ipv4" and r["value"].endswith("/24")),
        (
            "matches(value, '^[a-z]+[.]')",
            lambda r, _: r["value"].split(".")[0].isalpha() and "." in r["value"],
        ),
    ]
)
atoms = st.one_of(numbers(), levels(), texts(), calls(), members(), choices(), nulls(), times(), ages(), flags)


def joined(parts: list[tuple[str, Test]], op: str) -> tuple[str, Test]:
    test = all if op == "and" else any
    return f" {op} ".join(f"({text})" for text, _ in parts), lambda r, at: test(t(r, at) for _, t in parts)


expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        inner.map(lambda p: (f"not ({p[0]})", lambda r, at, t=p[1]: not t(r, at))),
        st.tuples(st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"])).map(lambda a: joined(*a)),
    ),
    max_leaves=6,
)
moment = st.none() | st.integers(0, 5).map(lambda d: NOW - timedelta(days=d))
attributes = st.fixed_dictionaries(
    {
        "thing": st.sampled_from(
            [
                ("ipv4", "10.0.0.0/24"),
                ("ipv4", "10.0.0.1"),
                ("domain", "phish.example"),
                ("url", "http://c2.example/x"),
            ]
        ),
        "confidence": st.integers(0, 100),
        "actionable": st.booleans(),
        "tlp": st.integers(0, 4),
        "description": st.none() | words,
        "tags": st.none() | st.lists(words, max_size=2),
        "threat_types": st.none() | st.lists(words, max_size=2),
        "refs": st.none() | st.lists(words, max_size=2),
        "sources": st.lists(words, min_size=1, max_size=2),
        "extra": st.none() | st.sampled_from(["80", 80, "c2", None, 8]).map(lambda p: json.dumps({"port": p})),
        "first_seen": moment,
        "last_seen": moment,
        "valid_until": moment,
    }
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(attributes, min_size=1, max_size=8), expression=expressions)
def test_compiled_sql_means_what_python_computes(views: Any, row: Any, rows: list[Row], expression: Any) -> None:
    text, test = expression
    table = [row(*r.pop("thing"), **r, kh=n) for n, r in enumerate(rows)]
    views.table("filtered", table)
    sql = compile_filter(text).sql(AS_OF)
    got = {r["kh"]: r["passes"] for r in views.rows(f"SELECT kh, ({sql}) AS passes FROM filtered")}
    assert got == {r["kh"]: test(r, NOW) for r in table}, text


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(attributes, min_size=1, max_size=6), expression=expressions, span=st.integers(0, 96))
def test_a_result_changes_with_time_only_where_a_clock_says_so(
    views: Any, row: Any, rows: list[Row], expression: Any, span: int
) -> None:
    compiled = compile_filter(expression[0])
    table = [row(*r.pop("thing"), **r, kh=n, added=NOW - timedelta(days=3)) for n, r in enumerate(rows)]
    views.table("filtered", table)
    later = NOW + timedelta(hours=span)
    before, after = (compiled.sql(f"TIMESTAMP '{at}'") for at in (NOW, later))
    changed = {r["kh"] for r in views.rows(f"SELECT kh FROM filtered WHERE ({before}) <> ({after})")}
    due = {
        r["kh"]
        for r in table
        for clock in compiled.clocks
        if r[clock.column] and NOW < r[clock.column] + clock.offset <= later
    }
    assert changed <= due


def test_clocks_name_both_columns_that_an_age_may_come_from() -> None:
    second = timedelta(microseconds=1)
    month = timedelta(days=30)
    assert compile_filter("confidence > 5 and age < 30d").clocks == [
        Clock("added", month),
        Clock("first_seen", month),
    ]
    assert compile_filter("30d <= seen_age").clocks == [Clock("added", month), Clock("last_seen", month)]
    assert compile_filter("age <= 30d").clocks[0] == Clock("added", month + second)
    assert compile_filter("confidence > 5").clocks == []


@given(st.text(max_size=40).filter(lambda s: s.isprintable()))
@settings(max_examples=150, deadline=None)
def test_any_text_is_only_ever_text(views: Any, row: Any, text: str) -> None:
    views.table("filtered", [row("domain", "example.com", description=text, tags=[text])])
    literal = quoted(text)
    for expression in (
        f"description == {literal}",
        f"{literal} in tags",
        f"contains(description, {literal})",
    ):
        sql = compile_filter(expression).sql(AS_OF)
        assert views.rows(f"SELECT ({sql}) AS passes FROM filtered") == [{"passes": True}]
    doubled = '"' + text.replace('"', '""') + '"'
    sql = compile_filter(f"description != {doubled}").sql(AS_OF)
    assert views.rows(f"SELECT ({sql}) AS passes FROM filtered") == [{"passes": False}]


FRAGMENTS = [
    "and", "or", "not", "in", "(", ")", ",", "==", "<", "value", "confidence", "tags", "age",
    "tlp", "extra.a",
    "first_seen", "green", "null", "true", "5", "30d", "'x'", "'2024-05-01'", "lower(", "matches(",
    "contains(",
]  # fmt: skip


@given(st.text(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=9).map(" ".join))
@settings(max_examples=400, deadline=None)
def test_anything_else_is_refused_with_a_place_or_runs(views: Any, row: Any, text: str) -> None:
    views.table("filtered", [row("domain", "example.com")])
    refused = None
    try:
        sql = compile_filter(text, "tipline.yaml:7").sql(AS_OF)
    except ConfigError as error:
        refused = error.where
    if refused is not None:
        assert refused.startswith("tipline.yaml:7, column ")
    else:
        assert isinstance(views.rows(f"SELECT ({sql}) AS passes FROM filtered")[0]["passes"], bool)


HOSTILE = [
    "value == '' or 1=1) --'", "value == 'x'; DROP TABLE claims", "read_csv('/etc/passwd') == 'x'",
    "value == $as_of", "value == 'a' || 'b'", "confidence == (select 1)", 'extra.a"b == 1',
    "extra['port'] == 1",
    "extra.port; --", "value == 'a\x00b'", "value == 'a\ud800'", "getenv('HOME') == ''", "value == E'\\''",
    "confidence == 1e400", "confidence == 0x41", "/* x */ true", "true -- x", "value::int == 1",
    "confidence == 99999999999999999999999999",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_not_compile(text: str) -> None:
    with pytest.raises(ConfigError):
        compile_filter(text)


ERRORS = [
    ("confidense >= 75", 1, "did you mean confidence?"),
    ("Confidence >= 75", 1, "did you mean confidence?"),
    ("confidence >= 75 and startwith(value, 'x')", 22, "did you mean startswith?"),
    ("type == 'ip4'", 9, "did you mean ipv4?"),
    ("type in ('ipv4', 'domian')", 18, "did you mean domain?"),
    ("tlp <= 'ambre'", 8, "did you mean amber?"),
    ("tlp <= ambre", 8, "did you mean amber?"),
    ("value == evil", 10, "text stands in quotes"),
    ("direction == 'in'", 14, "inbound, outbound"),
    ("confidence == 'x'", 15, "write a number"),
    ("confidence in tags", 1, "a list holds text"),
    ("confidence in (75, 'high')", 20, "write a number"),
    ("tags == 'phish'", 9, "'phish' in tags"),
    ("tags in ('phish', 'c2')", 1, "in tags"),
    ("'phish' in value", 12, "list field"),
    ("contains(tags, 'phish')", 10, "in tags"),
    ("age < 30", 7, "write a duration"),
    ("age < 30x", 7, "30d"),
    ("first_seen > 'yesterday'", 14, "'2024-05-01'"),
    ("confidence", 1, "confidence >= 75"),
    ("not confidence", 5, "confidence >= 75"),
    ("value < 'a'", 7, "== and !="),
    ("description > null", 13, "== null"),
    ("1 < confidence < 5", 16, "a < b and b < c"),
    ("confidence > 1 confidence < 5", 16, "and / or"),
    ("(confidence > 1", 16, "close the parenthesis"),
    ("confidence > 1)", 15, "and / or"),
    ("confidence >", 13, "belongs here"),
    ("confidence > and 1", 14, "belongs here"),
    ("value in ()", 12, "in ('a', 'b')"),
    ("value in ('a', description)", 16, "null"),
    ("value not ('a')", 11, "not in"),
    ("value == 'a", 10, "end it with"),
    ("contains(value)", 1, "contains(value, 'x')"),
    ("matches(value, '(')", 16, "RE2"),
    ("matches(value, description)", 16, "literal"),
    ("matches(value, '((a{900}){900}){900}')", 16, "RE2"),
    ("extra == 'x'", 1, "extra.port"),
    ("", 1, "confidence >= 75"),
    ("value == 'a' && true", 14, ""),
]


@pytest.mark.parametrize(("text", "column", "fix"), ERRORS, ids=[text for text, _, _ in ERRORS])
def test_errors_say_where_and_what_to_do(text: str, column: int, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile_filter(text, "tipline.yaml:7")
    assert caught.value.where == f"tipline.yaml:7, column {column}"
    assert fix in f"{caught.value.fix} {caught.value.what}"


def test_limits_are_errors_and_not_crashes(views: Any, row: Any) -> None:
    for text in (
        "(" * 500 + "true" + ")" * 500,
        "not " * 500 + "true",
        "true " * 3000,
        f"matches(value, '{'a' * 501}')",
    ):
        with pytest.raises(ConfigError):
            compile_filter(text)
    views.table("filtered", [row("domain", "example.com")])
    for op in ("or", "and"):
        long = f" {op} ".join(["confidence>9"] * 550)
        assert views.rows(f"SELECT ({compile_filter(long).sql(AS_OF)}) AS p FROM filtered") == [{"p": True}]
    listed = "value in (" + "'x', " * 1900 + "'example.com')"
    assert views.rows(f"SELECT ({compile_filter(listed).sql(AS_OF)}) AS p FROM filtered") == [{"p": True}]


def test_the_moment_may_be_a_parameter(views: Any, row: Any) -> None:
    views.table("filtered", [row("domain", "example.com", first_seen=NOW - timedelta(days=2))])
    sql = f"SELECT ({compile_filter('age > 1d and age < 3d').sql('$as_of')}) FROM filtered"
    assert views.con.execute(sql, {"as_of": NOW}).fetchall() == [(True,)]


def test_extra_that_is_no_json_is_missing(views: Any, row: Any) -> None:
    views.table("filtered", [row("domain", "example.com", extra="{broken")])
    sql = compile_filter("extra.port == 80 or extra.port != 'x'").sql(AS_OF)
    assert views.rows(f"SELECT ({sql}) AS p FROM filtered") == [{"p": False}]


def test_a_zone_in_a_time_is_heeded(views: Any, row: Any) -> None:
    views.table("filtered", [row("domain", "example.com", first_seen=datetime.fromisoformat("2024-05-01T10:00:00"))])
    sql = compile_filter("first_seen == '2024-05-01T12:00:00+02:00'").sql(AS_OF)
    assert views.rows(f"SELECT ({sql}) AS p FROM filtered") == [{"p": True}]
