"""What a node's page says of its settings: what somebody chose, and no secret."""

from __future__ import annotations

from pathlib import Path

from tipline.config.check import load
from tipline.config.hidden import MASK
from tipline.web.settings import own_settings

_CONFIG = """\
sources:
  feed:
    kind: csv
    url: https://feeds.example.com/list.csv?api_key=0123456789abcdef0123
    columns: {value: 1, tags: 2}
    tags: [a, b]
    confidence: 80
    tlp: green
    guard: {max_withdrawn: 0.7}
outputs:
  list: {kind: list, inputs: feed, access: key, keys: [a-key-that-is-long-enough]}
"""


def test_chosen_settings_are_told_and_secrets_are_not(tmp_path: Path) -> None:
    (tmp_path / "tipline.yml").write_text(_CONFIG)
    nodes = load(tmp_path / "tipline.yml").nodes()
    feed = {each["name"]: each["value"] for each in own_settings(nodes["feed"].settings)}
    assert "0123456789abcdef0123" not in feed.pop("url")
    assert feed["tags"] == "a\nb"
    assert (feed["columns.tags"], feed["confidence"], feed["tlp"]) == ("2", "80", "green")
    assert feed["guard.max_withdrawn"] == "0.7"
    assert "mode" not in feed
    output = {each["name"]: each["value"] for each in own_settings(nodes["list"].settings)}
    assert output["keys"] == MASK
