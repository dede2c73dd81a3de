from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.errors import ConfigError, FormatError
from tipline.model import CLAIM_SCHEMA, DROP_REASONS, TYPES, Policy, conform, normalise_one, unreadable_times
from tipline.model.claims import RAW_COLUMNS

POLICIES = [Policy(), Policy.allow_list(), Policy(types=frozenset({"ipv4", "url"}))]

# Pieces that make texts which come near to being indicators, between arbitrary ones.
_WORDS = r"""
http https hxxp ftp :// [://] : [:] / \ \\ . [.] (.) [dot] dot @ [at] ? # - _ * , ; | " ' < > [ ] { } ( ) …
... 1.2.3.4 10.0.0.1 8.8.8.0 /24 /0 /33 255 0 00 2001:db8::1 2606:4700::1 [2606:4700::1] :80 :443 :99999 ::
::ffff: evil example www com co.uk ck onion zip xn-- xn--a münchen ❤ ß İ ¬ ダ com. a.b CVE-2020-1234
AS64500 mailto:
d41d8cd98f00b204e9800998ecf8427e HKLM\ C:\ cmd.exe /c [File] 3:abc:def meow hxxps
"""
_ODD = [" ", "\xa0", "\x00", "\ufeff", "\u200b", "\u200d", "\u202e", "\xad", "\ufffd"]
PIECES = st.sampled_from([*_WORDS.split(), *_ODD])
NEAR = st.lists(st.one_of(PIECES, PIECES, st.text(max_size=3)), max_size=8).map("".join)
TEXTS = st.one_of(NEAR, st.text(max_size=60), st.text(alphabet="[](){}.:/@\\*,;'\"<>hxtpdoat ", max_size=40))
WORDS = st.one_of(st.none(), st.sampled_from([*TYPES, "ip", "hash", "hostname", "process", " "]), st.text(max_size=5))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(TEXTS, WORDS, st.one_of(st.none(), st.text(max_size=30))), max_size=12),
    st.sampled_from(POLICIES),
)
def test_no_text_breaks_it_and_no_row_is_lost(rows: list[tuple[str, str | None, str | None]], policy: Policy) -> None:
    columns = {name: [row[2] for row in rows] for name in RAW_COLUMNS if name not in {"value", "type", "drop"}}
    raw = pl.DataFrame(
        {"value": [row[0] for row in rows], "type": [row[1] for row in rows], **columns},
        schema_overrides=dict.fromkeys(RAW_COLUMNS, pl.String),
    )
    claims = conform(raw, policy)
    assert claims.schema == CLAIM_SCHEMA
    assert claims["raw"].to_list() == [row[0][:500] for row in rows]
    assert set(claims["drop"].drop_nulls()) <= set(DROP_REASONS)
    kept = claims.filter(pl.col("drop").is_null())
    assert set(kept["type"]) <= set(TYPES)
    for lo, up in kept.select("lo", "up").drop_nulls().iter_rows():
        assert len(lo) == len(up) == 32
        assert lo < up or up == "f" * 32


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(TEXTS, WORDS), min_size=1, max_size=20), st.sampled_from(POLICIES))
def test_a_canonical_value_stays_as_it_is(rows: list[tuple[str, str | None]], policy: Policy) -> None:
    first = conform(pl.DataFrame(rows, schema={"value": pl.String, "type": pl.String}, orient="row"), policy)
    kept = first.filter(pl.col("drop").is_null()).select("value", "type", "lo", "up", "rhost")
    again = conform(kept.select("value", "type"), policy)
    assert again["drop"].null_count() == len(again)
    assert again.select("value", "type", "lo", "up", "rhost").equals(kept)


def test_hostile_values_neither_raise_nor_hang() -> None:
    values = [
        "a" * 10_000_000,
        "[" * 4000,
        "[[.].]" * 600,
        "(" * 2000 + "." + ")" * 2000,
        "http://" + "@" * 4000,
        "http://" + "[a b" * 900,
        "a." * 2000 + "com",
        "[a-" * 1300,
        "\x00" * 100,
        "\u202egpj.exe.com",
        "é" * 2000 + ".com",
        "1" * 4000,
        "1." * 2000,
        ":" * 4000,
        "\\" * 4000,
        "C:\\" + "a.exe " * 600,
        "HKLM\\" + "\\" * 4000,
        "9" * 4000 + "/" + "9" * 90,
        "aa|" * 1300,
    ]
    for policy in POLICIES:
        claims = conform(pl.DataFrame({"value": values}), policy)
        assert len(claims) == len(values)
        for kind in TYPES:
            assert len(conform(pl.DataFrame({"value": values, "type": kind}), policy)) == len(values)


def test_lone_surrogates_are_replaced() -> None:
    assert normalise_one("evil\ud800.com").drop == "bad-domain"
    assert normalise_one("evil.com\udfff").value == "evil.com"


def test_order_and_count_survive_a_mixture() -> None:
    values = [
        "evil.com",
        "1.2.3.4",
        "",
        None,
        "junk",
        "http://a.com/x",
        "d41d8cd98f00b204e9800998ecf8427e",
        "5.5.5.5",
    ]
    claims = conform(pl.DataFrame({"value": values}))
    assert claims["value"].to_list() == values
    assert claims["type"].to_list() == ["domain", "ipv4", None, None, None, "url", "md5", "ipv4"]
    assert claims["drop"].to_list() == [None, None, "empty", "empty", "unknown-type", None, None, None]


def test_the_first_objection_is_the_one_that_counts() -> None:
    raw = pl.DataFrame(
        {
            "value": ["", "x" * 5000, "1.2.3.4", "10.0.0.1", "evil.com", "1.2.3.4"],
            "type": ["process", "process", "process", "ip", "domain", "ip"],
            "drop": [None, None, None, None, None, "several-values"],
        },
        schema_overrides={"drop": pl.String},
    )
    drops = conform(raw, Policy(types=frozenset({"ipv4"})))["drop"].to_list()
    assert drops == [
        "empty",
        "too-long",
        "unsupported-type",
        "not-routable",
        "unwanted-type",
        "several-values",
    ]


def test_a_dropped_row_keeps_its_raw_text_and_no_derived_columns() -> None:
    row = conform(pl.DataFrame({"value": [" 10.0.0[.]1 "]})).row(0, named=True)
    assert (row["value"], row["raw"], row["type"]) == (" 10.0.0[.]1 ", " 10.0.0[.]1 ", "ipv4")
    assert row["lo"] is row["up"] is row["rhost"] is row["extra"] is None


def test_fixed_type_overrides_detection_and_the_type_column() -> None:
    raw = pl.DataFrame({"value": ["evil.com/a"], "type": ["domain"]})
    assert conform(raw, Policy(fixed_type="URL"))["value"].to_list() == ["http://evil.com/a"]
    assert conform(raw, Policy(fixed_type="nonsense"))["drop"].to_list() == ["unsupported-type"]


def test_a_blank_type_word_means_detect() -> None:
    raw = pl.DataFrame({"value": ["1.2.3.4", "evil.com"], "type": [" \xa0", None]})
    assert conform(raw)["type"].to_list() == ["ipv4", "domain"]


def test_attributes_are_read_and_direction_follows_the_type_word() -> None:
    raw = pl.DataFrame(
        {
            "value": ["1.2.3.4", "1.2.3.5"],
            "type": ["ip-src", "ip-dst"],
            "record": ["r1", None],
            "confidence": ["high", "nan"],
            "actionable": ["0", "maybe"],
            "tlp": ["TLP:WHITE", "gree"],
            "direction": [None, "inbound"],
            "tags": ["#a #b", '["x, y", 1]'],
            "references": ["http://a/1,http://b/2", None],
            "valid_until": ["1/21/21 13:34", "never"],
            "extra": ['{"a": 1}', "not json"],
        }
    )
    claims = conform(raw)
    first, second = claims.iter_rows(named=True)
    assert (first["record"], first["confidence"], first["actionable"], first["tlp"]) == ("r1", 80, False, 0)
    assert (second["record"], second["confidence"], second["actionable"], second["tlp"]) == (
        "",
        None,
        None,
        1,
    )
    assert [first["direction"], second["direction"]] == ["inbound", "inbound"]
    assert [first["tags"], second["tags"]] == [["a", "b"], ["x, y", "1"]]
    assert first["references"] == ["http://a/1", "http://b/2"]
    assert [first["extra"], second["extra"]] == ['{"a": 1}', None]
    assert unreadable_times(raw, claims) == {"valid_until": 1}


def test_extra_of_the_format_and_of_normalising_are_merged() -> None:
    raw = pl.DataFrame({"value": ["8.8.8.8:53", "8.8.8.8", "8.8.8.8:53"], "extra": ['{"a": 1}', '{"b": 2}', None]})
    assert [json.loads(extra) for extra in conform(raw)["extra"]] == [
        {"a": 1, "port": 53},
        {"b": 2},
        {"port": 53},
    ]


def test_lists_may_come_as_lists() -> None:
    raw = pl.DataFrame({"value": ["1.2.3.4"], "tags": [[" a ", "", "a", "b"]], "threat_types": [[]]})
    row = conform(raw, Policy()).row(0, named=True)
    assert (row["tags"], row["threat_types"]) == (["a", "b"], None)


def test_an_empty_frame_has_the_schema() -> None:
    assert conform(pl.DataFrame({"value": []}, schema={"value": pl.String})).schema == CLAIM_SCHEMA


def test_a_frame_without_value_is_an_error_that_says_so() -> None:
    with pytest.raises(FormatError, match="value"):
        conform(pl.DataFrame({"indicator": ["1.2.3.4"]}))


def test_a_column_that_is_no_text_is_an_error_that_names_it() -> None:
    with pytest.raises(FormatError, match="'confidence'"):
        conform(pl.DataFrame({"value": ["1.2.3.4"], "confidence": [[1, 2]]}))


def test_a_policy_that_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="Mars"):
        Policy(time_zone="Mars/Base")
    with pytest.raises(ConfigError, match="101"):
        Policy(confidence_map={"high": 101})


def test_one_value_and_a_frame_agree() -> None:
    values = ["1.2.3.0/24", "evil[.]com", "hxxp://10.0.0.1/", "co.uk", "x.exe"]
    claims = conform(pl.DataFrame({"value": values}))
    for row, value in zip(claims.iter_rows(named=True), values, strict=True):
        one = normalise_one(value)
        assert (one.type, one.drop, one.lo, one.rhost) == (row["type"], row["drop"], row["lo"], row["rhost"])
