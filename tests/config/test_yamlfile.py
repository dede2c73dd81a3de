"""YAML with the line of every key, and references to the environment and to files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tipline.config.check import check_text
from tipline.config.yamlfile import parse, read
from tipline.errors import ConfigError

FILE = Path("x.yml")


def test_every_place_has_its_line() -> None:
    document = parse("a: 1\nb:\n  c:\n    - 2\n    - d: 3\n", FILE)
    assert document.data == {"a": 1, "b": {"c": [2, {"d": 3}]}}
    assert [document.line(place) for place in [("a",), ("b",), ("b", "c"), ("b", "c", 1), ("b", "c", 1, "d")]] == [
        1,
        2,
        3,
        5,
        5,
    ]
    assert document.where(("b", "nothing", "here")) == "x.yml:2"
    assert document.line(("nowhere",)) == 1


def test_anchors_and_merges() -> None:
    document = parse("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n", FILE)
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_references_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "there")
    (tmp_path / "secret").write_text("s3cret\n")
    document = parse("a: x-${env:HERE}-${file:secret}\n", tmp_path / "x.yml")
    assert document.data == {"a": "x-there-s3cret"}
    assert document.missing == []


def test_references_to_nothing_are_problems_with_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    found = [
        str(p)
        for p in check_text(
            "data: d\ninstance: ${env:NOT_SET}\nhttp: {host: '${file:none}'}\n", tmp_path / "x.yml"
        ).problems
    ]
    assert any(line.startswith(f"{tmp_path}/x.yml:2: error: the environment has no NOT_SET") for line in found)
    assert any(line.startswith(f"{tmp_path}/x.yml:3: error: {tmp_path}/none: No such file") for line in found)


def test_no_secret_is_in_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cret value!")
    text = "instance: ${env:SECRET}\nsources:\n  a: {kind: lines, url: x, bearer: ['${env:SECRET}']}\n"
    found = "\n".join(str(problem) for problem in check_text(text, FILE).problems)
    assert "a.bearer" in found
    assert "instance" in found
    assert "s3cret" not in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1\n", "x.yml:2: not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", "x.yml:3: a key stands twice"),
        ("- a\n", "x.yml:1: the file is not a mapping"),
        ("a: " + "[" * 60 + "]" * 60 + "\n", "nested too deeply"),
    ],
)
def test_text_that_cannot_be_used(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as found:
        parse(text, FILE)
    assert words in str(found.value)


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(tmp_path / "x.yml").data == {"a": 1}


def test_no_code_is_run() -> None:
    document = parse("a: !!python/object/apply:os.getcwd []\n", FILE)
    assert document.data == {"a": []}
