"""Secrets that stand in the file leave it for nobody's eyes, and come back where they were."""

from __future__ import annotations

from typing import Any

import pytest

from tipline.config.hidden import MASK, hide_node, hide_text, restore_node, restore_text
from tipline.errors import ConfigError
from tipline.kinds import Kind, kinds

CSV = """\
kind: csv
url: https://ann:hunter2@feeds.example.org/list.csv?api_key=0123456789abcdef  # paid
headers: {Accept: text/csv, X-Token: opensesame}
basic: {username: ann, password: hunter2}
bearer: ${env:TOKEN}
note: see https://docs.example.org/0123456789abcdef0123456789abcdef
"""
SECRETS = ("hunter2", "opensesame", "0123456789abcdef ")  # the note's is none: it is a text for people


def _csv() -> type[Kind[Any]]:
    return kinds("source")["csv"]


def test_secrets_are_hidden_and_come_back() -> None:
    shown = hide_node(CSV, _csv())
    assert not any(secret in shown for secret in SECRETS)
    assert f"{{Accept: text/csv, X-Token: {MASK}}}" in shown
    assert "bearer: ${env:TOKEN}" in shown
    assert "# paid" in shown
    assert "note: see https://docs.example.org/0123456789abcdef0123456789abcdef" in shown
    assert restore_node(shown, CSV, _csv()) == CSV


def test_what_has_no_secret_stays_to_the_letter() -> None:
    plain = "kind:   csv   # so\nurl:  'https://feeds.example.org/list.csv#top'\n"
    assert hide_node(plain, _csv()) == plain
    assert restore_node(plain, "", _csv()) == plain


def test_other_values_change_and_secrets_stay() -> None:
    shown = hide_node(CSV, _csv()).replace("list.csv", "other.csv").replace("username: ann", "username: bob")
    text = restore_node(shown, CSV, _csv())
    assert "https://ann:hunter2@feeds.example.org/other.csv?api_key=0123456789abcdef" in text
    assert "basic: {username: bob, password: hunter2}" in text


def test_a_hidden_value_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"basic\.password: the hidden value is not known here"):
        restore_node(f"kind: csv\nurl: x\nbasic: {{username: a, password: {MASK}}}\n", "kind: csv\nurl: x\n", _csv())
    shown = hide_node(CSV, _csv()).replace("X-Token", "X-Other")
    with pytest.raises(ConfigError, match=r"headers\.X-Other"):
        restore_node(shown, CSV, _csv())


WHOLE = """\
readers:
  siem: {key: a-key-that-is-long-enough, tags: [x]}
alerts:
  - {kind: webhook, url: "https://hooks.example.org/T0/s3cret"}
sources:
  feed: {kind: csv, url: a.csv, bearer: opensesame}
  odd: {kind: nothing, bearer: opensesame2}
outputs:
  list: {kind: list, inputs: feed, access: key, keys: [another-long-enough-key, "${secret:second}"]}
  hook: {kind: webhook, inputs: feed, url: https://x.example/, bearer: opensesame}
"""


def test_a_whole_configuration_is_shown_without_its_secrets() -> None:
    shown = hide_text(WHOLE)
    assert not any(each in shown for each in ("enough", "s3cret", "opensesame"))
    assert shown.count(MASK) == 6
    assert "${secret:second}" in shown
    assert restore_text(shown, WHOLE) == WHOLE
    odd = WHOLE.replace("url: a.csv,", "url:   a.csv,   tags: [a,  'b'],").replace(
        "bearer: opensesame}", "bearer: 'open ''#''sesame'}"
    )
    assert "open" not in hide_text(odd)
    assert "url:   a.csv,   tags: [a,  'b']" in hide_text(odd)
    assert restore_text(hide_text(odd), odd) == odd
    moved = shown.replace("tags: [x]", "tags: [x, y]")
    assert restore_text(moved, WHOLE) == WHOLE.replace("tags: [x]", "tags: [x, y]")
