"""The json format: arrays, NDJSON, documents; the fast and the general way agree."""

from __future__ import annotations

import io
import json as stdlib_json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tipline.errors import FormatError
from tipline.formats import json, json_array
from tipline.formats.base import Context
from tipline.formats.json import JsonSettings
from tipline.formats.json_array import elements
from tipline.formats.json_blocks import ndjson_blocks
from tipline.formats.json_rows import Paths, fast_frame, frames, schema

DATA = Path(__file__).parent.parent / "data"
FIELDS = {"value": "ioc", "type": "meta.type", "confidence": "score"}


def read(path: Path, **options: Any) -> pl.DataFrame:
    parts = list(json.read(path, JsonSettings(**options), Context("feed")))
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame({"value": []}, schema={"value": pl.String})


def text(tmp_path: Path, body: str, **options: Any) -> pl.DataFrame:
    path = tmp_path / "feed.json"
    path.write_bytes(body.encode())
    return read(path, **options)


def values(frame: pl.DataFrame) -> list[str]:
    return frame["value"].to_list()


def test_array_of_microsofts_feed_with_nested_extra() -> None:
    frame = read(
        DATA / "azure-feeds/MSTICIoCs-ExchangeServerVulnerabilitiesDisclosedMarch2021.json",
        fields={"value": "Indicator", "type": "IndicatorType", "tlp": "TLP", "first_seen": "FirstSeen"},
        extra=["AdditionalMetadata.FileMd5"],
    )
    first = frame.row(0, named=True)
    assert (frame.height, first["type"], first["tlp"]) == (152, "sha256", "White")
    assert stdlib_json.loads(first["extra"]) == {"AdditionalMetadata.FileMd5": "4ef04cba6bec2c3a164b9b755efbeb1c"}


def test_rows_of_a_document() -> None:
    path = DATA / "covid19/history/003_2020-05-15_8aed17199.json"
    frame = read(path, rows="Covid19Indicators", fields={"value": "Indicator", "record": "ExternalId"})
    assert frame.height == 295
    with pytest.raises(FormatError, match=r"one object.*set `rows` to where they are: Covid19Indicators"):
        read(path, fields={"value": "Indicator"})
    with pytest.raises(FormatError, match="nothing at rows: Indicators"):
        read(path, rows="Indicators", fields={"value": "Indicator"})


def test_quoted_path_and_wildcard_rows(tmp_path: Path) -> None:
    assert (
        values(read(DATA / "plain/sinkholes/Sinkholes_List.json", fields={"value": '"IP Range"'}))[1] == "23.253.126.58"
    )
    body = '{"1": [{"ioc": "a.com"}], "2": [{"ioc": "b.com"}]}'
    assert values(text(tmp_path, body, rows="*[]", fields={"value": "ioc"})) == ["a.com", "b.com"]


def test_json_that_is_not_json_says_where() -> None:
    with pytest.raises(FormatError, match="not JSON at line 350, column 9"):
        read(
            next((DATA / "misp-feed/broken").glob("*.json")),
            rows="Event.Attribute",
            fields={"value": "value"},
        )


def test_strings_and_lists_explode(tmp_path: Path) -> None:
    assert values(text(tmp_path, '["a.com", "b.com"]')) == ["a.com", "b.com"]
    body = '[{"v": ["a", "b"], "t": ["x", "y"]}, {"v": "c", "t": "z"}, {"v": [], "t": null}, {"v": {"k": 1}}, 7]'
    frame = text(tmp_path, body, fields={"value": "v", "tags": "t"})
    assert values(frame)[:3] == ["a", "b", "c"]
    assert frame["tags"].to_list()[:3] == [["x", "y"], ["x", "y"], ["z"]]
    assert frame["drop"].to_list() == [None, None, None, "bad-row", "bad-row", "bad-row"]


def test_ndjson_with_broken_lines_keeps_the_others(tmp_path: Path) -> None:
    body = '{"ioc": "a"}\n{broken\n\n{"ioc": "b", "score": 85}\n{"no": 1}\r\n'
    frame = text(tmp_path, body, fields={"value": "ioc", "confidence": "score"})
    assert frame.select("value", "confidence", "drop").rows() == [
        ("a", None, None),
        ("{broken", None, "bad-row"),
        ("b", "85", None),
        ('{"no": 1}', None, "bad-row"),
    ]


@pytest.mark.parametrize(
    "body", ["hello\nworld\n", "{broken\n{}\n", '[{"a": 1},]', "[1", "[1}", "[1 2]", "[1] x", '["a']
)
def test_other_texts_are_refused(tmp_path: Path, body: str) -> None:
    with pytest.raises(FormatError, match="not JSON at line 1, column"):
        text(tmp_path, body)


def test_place_in_a_long_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "BLOCK_BYTES", 5)
    with pytest.raises(FormatError, match="line 4, column 3"):
        text(tmp_path, '[\n "aaaaaaaa",\n "bbbbbb",\n  oops]')


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, "[" + '{"v":' * 100_000])
def test_depth_bomb(tmp_path: Path, body: str) -> None:
    with pytest.raises(FormatError, match=r"nested too deep|not JSON"):
        text(tmp_path, body)


def test_depth_bomb_in_one_ndjson_row(tmp_path: Path) -> None:
    body = '{"v": "a"}\n{"v": ' + "[" * 100_000 + "]" * 100_000 + "}\n"
    assert text(tmp_path, body, fields={"value": "v"})["drop"].to_list() == [None, "bad-row"]


def test_large_documents_are_refused_and_arrays_are_not(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="larger than max_document"):
        text(tmp_path, '{"a": ["x"]}', rows="a", max_document=5)
    assert values(text(tmp_path, '["x", "y"]', max_document=5)) == ["x", "y"]


def test_lone_surrogates_and_huge_numbers(tmp_path: Path) -> None:
    frame = text(tmp_path, r'["\ud800a", "b"]')
    assert values(frame) == ["?a", "b"]
    with pytest.raises(FormatError, match="not JSON"):
        text(tmp_path, "[" + "1" * 5000 + "]")


def test_path_that_cannot_be_applied(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a path cannot be applied"):
        text(tmp_path, '[{"a": 1}]', fields={"value": "length(a)"})


@pytest.mark.parametrize("body", ["", " \n", "\ufeff", "[]", "[ ]\n"])
def test_nothing_yields_nothing(tmp_path: Path, body: str) -> None:
    assert text(tmp_path, body).height == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": {"valu": "a", "value": "b"}}, "did you mean 'value'"),
        ({"fields": {"type": "a"}}, "value is missing"),
        ({"fields": {"value": "a["}}, "not a JMESPath"),
        ({"rows": "a["}, "not a JMESPath"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        JsonSettings(**options)


SCALAR = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5)
ROW = st.fixed_dictionaries(
    {"ioc": st.text(max_size=5)},
    optional={"score": SCALAR, "meta": st.fixed_dictionaries({}, optional={"type": SCALAR, "z": SCALAR})},
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=5))
def test_fast_way_equals_general_way(rows: list[dict[str, Any]]) -> None:
    options = JsonSettings(fields=FIELDS)
    block = "".join(stdlib_json.dumps(row) + "\n" for row in rows).encode()
    wanted = schema(options)
    assert wanted is not None
    fast = fast_frame(block, options, wanted)
    general = pl.concat(frames(rows, Paths(options), "feed")).drop("drop")
    assert fast is None or fast.select(general.columns).equals(general)


def test_fast_way_is_taken_for_plain_rows() -> None:
    options = JsonSettings(fields=FIELDS)
    block = b'{"ioc": "a", "meta": {"type": "ip"}, "score": 5, "other": [1]}\n'
    frame = fast_frame(block, options, schema(options) or {})
    assert frame is not None
    assert frame.row(0, named=True) == {"value": "a", "type": "ip", "confidence": "5"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(JSON, max_size=5), block=st.integers(1, 30), indent=st.none() | st.integers(0, 2))
def test_array_in_pieces_equals_the_whole(rows: list[Any], block: int, indent: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "BLOCK_BYTES", block)
        body = stdlib_json.dumps(rows, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
        assert list(elements(io.BytesIO(body), Context())) == stdlib_json.loads(body)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(JSON, min_size=1, max_size=5), size=st.integers(1, 30), indent=st.none() | st.integers(0, 2))
def test_array_as_ndjson(rows: list[Any], size: int, indent: int | None) -> None:
    body = stdlib_json.dumps(rows, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
    found: list[Any] = []
    for block in ndjson_blocks(io.BytesIO(body), size):
        assert block is not None
        lines = [stdlib_json.loads(line) for line in block.text.splitlines()]
        assert len(lines) == block.rows
        found += lines
    assert found == stdlib_json.loads(body)


@settings(max_examples=150, deadline=None)
@given(text=st.text(alphabet='[]{},:"\\1 \n', max_size=20), size=st.integers(1, 8))
def test_array_blocks_of_any_text_never_hide_that_it_is_not_json(text: str, size: int) -> None:
    blocks = list(ndjson_blocks(io.BytesIO(f"[{text}".encode()), size))
    try:
        whole = stdlib_json.loads(f"[{text}")
    except ValueError:
        whole = None
    lines = [line for block in blocks if block for line in block.text.split(b"\n")[: block.rows]]
    try:
        ours = [stdlib_json.loads(line) for line in lines]
    except ValueError:
        return
    assert blocks[-1] is None or ours == whole


def test_array_with_an_odd_row_keeps_order_and_count(tmp_path: Path) -> None:
    rows: list[Any] = [{"ioc": f"{i}.com", "note": "x" * 100} for i in range(60_000)]
    rows[50_000] = {"ioc": ["l1", "l2"]}
    frame = text(tmp_path, stdlib_json.dumps(rows), fields={"value": "ioc"})
    assert values(frame) == [
        *(f"{i}.com" for i in range(50_000)),
        "l1",
        "l2",
        *(f"{i}.com" for i in range(50_001, 60_000)),
    ]
