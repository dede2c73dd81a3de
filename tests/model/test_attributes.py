from __future__ import annotations

import polars as pl
import pytest

from tipline.model import attributes
from tipline.model.policy import CONFIDENCE_WORDS


def column(*values: str | None) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("75", 75),
        ("75.6", 76),
        ("80%", 80),
        (" 80 \xa0", 80),
        ("0.9", 1),
        ("-5", 0),
        ("250", 100),
        ("1e400", None),
        ("nan", None),
        ("inf", None),
        ("Low", 40),
        ("medium", 60),
        ("HIGH", 80),
        ("", None),
        ("so so", None),
    ],
)
def test_confidence(text: str, expected: int | None) -> None:
    assert attributes.confidence(column(text), CONFIDENCE_WORDS).to_list() == [expected]


def test_confidence_without_words() -> None:
    assert attributes.confidence(column("high", "5"), {}).to_list() == [None, 5]


def test_actionable() -> None:
    read = attributes.actionable(column("True", "1", "no", "0", "", None, "maybe"))
    assert read.to_list() == [True, True, False, False, None, None, None]


def test_direction() -> None:
    read = attributes.direction(column("Inbound", "egress", "sideways", None))
    assert read.to_list() == ["inbound", "outbound", None, None]


def test_text_is_trimmed_cut_and_rid_of_controls() -> None:
    read = attributes.text(column("\xa0a\x00b\nc ", "x" * 50, " \t", None), 10)
    assert read.to_list() == ["ab\nc", "x" * 10, None, None]


def test_json_objects_only() -> None:
    read = attributes.json_object(column('{"a": 1}', "[1]", "{bad", '{"a": "' + "x" * 100 + '"}', None), 50)
    assert read.to_list() == ['{"a": 1}', None, None, None, None]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("a, b;c|a", ["a", "b", "c"]),
        ("#phishing #scam", ["phishing", "scam"]),
        ('["Barium", "APT41"]', ["Barium", "APT41"]),
        ('["x, y"]', ["x, y"]),
        ("[" * 5000, ["[" * 500]),
        ("[not json, b", ["[not json, b"]),
        (" , ", None),
        ("", None),
    ],
)
def test_items(cell: str, expected: list[str] | None) -> None:
    assert attributes.items(column(cell), 10).to_list() == [expected]


def test_items_are_limited() -> None:
    assert attributes.items(column(",".join(map(str, range(50)))), 3).to_list() == [["0", "1", "2"]]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("http://a/x,y", ["http://a/x,y"]),
        ("http://a/1, https://b/2;http://c/3", ["http://a/1", "https://b/2", "http://c/3"]),
        ("report 7|http://a", ["report 7", "http://a"]),
        ("", None),
    ],
)
def test_references(cell: str, expected: list[str] | None) -> None:
    assert attributes.references(column(cell), 10).to_list() == [expected]


def test_reading_distinct_texts_gives_what_reading_all_does() -> None:
    cells = column("a,b", "", None, "#x #y", *(["c"] * 3000), None)

    def read(texts: pl.Series) -> pl.Series:
        return attributes.items(texts, 5)

    assert attributes.by_distinct(cells, read).to_list() == read(cells).to_list()
