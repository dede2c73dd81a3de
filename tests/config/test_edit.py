"""Edits of a configuration's text leave everything else as it stands."""

from __future__ import annotations

import pytest

from tipline.config.edit import drop_node, put_node
from tipline.errors import ConfigError

TEXT = """\
# of the lab
instance: lab   # set once
sources:
  # the first one
  a: {kind: lines, url: "a.txt"}   # keep
outputs:
  all:
    kind: list
    inputs: [a]
"""
BODY = {"kind": "csv", "url": "https://x.example/", "columns": {"value": 2}, "tags": ["x"]}


def test_a_node_is_put_in_and_taken_out_again() -> None:
    text = put_node(TEXT, "sources", "b", BODY)
    assert [line for line in TEXT.splitlines() if line not in text.splitlines()] == []
    assert "  b:\n    kind: csv\n    url: https://x.example/\n    columns: {value: 2}\n" in text
    assert drop_node(text, "sources", "b") == TEXT


def test_a_missing_section_is_made() -> None:
    assert put_node("", "sources", "b", {"kind": "local"}) == "sources:\n  b:\n    kind: local\n"
    assert put_node("instance: x\n", "sources", "b", {"kind": "local"}).startswith("instance: x\nsources:\n")


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [(TEXT, "a", "already"), (TEXT, "all", "already"), ("a: [", "b", "not valid"), ("- x\n", "b", "not a mapping")],
)
def test_what_cannot_be_put_in(text: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        put_node(text, "sources", name, BODY)


def test_what_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(ConfigError, match="no node b"):
        drop_node(TEXT, "sources", "b")
