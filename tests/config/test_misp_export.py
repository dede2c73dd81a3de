"""Sources as MISP's feed list: what MISP reads of it is what they are, and no secret leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.config.importers.misp_feeds import import_feeds
from tipline.config.misp_export import FeedList, feed_list

CONFIG = """\
sources:
  covid: {kind: csv, url: https://feeds.example.org/c.csv, header: false, columns: {value: 2}, delimiter: tab,
    event: {publish: true}, distribution: server, tlp: clear, tags: [covid], actionable: false,
    ignore: ['(?i)^#.*'], headers: {Accept: text/csv, X-Key: s3cret}}
  words: {kind: freetext, url: https://feeds.example.org/w.txt, mode: append, expire: never, enabled: false,
    event: {fixed: false}, ignore: [a/b, c]}
  circl: {kind: misp-feed, url: https://misp.example.org/feed, max_age: 30d, event_tags: {none: ['tlp:red']},
    organisations: {any: [CIRCL]}, distribution: all}
  keyed: {kind: lines, url: 'https://feeds.example.org/l.txt?key=s3cret2', basic: {username: me, password: s3cret3}}
  named: {kind: csv, url: https://feeds.example.org/n.csv, columns: {value: ioc}}
  rows: {kind: json, url: https://feeds.example.org/j.json, fields: {value: v}}
  mine: {kind: local}
"""


@pytest.fixture
def made(tmp_path: Path) -> FeedList:
    configuration = check_text(CONFIG, tmp_path / "tipline.yml").usable()
    return feed_list(node for name, node in configuration.sources.items() if name != "never-block")


def test_a_csv_feed_says_what_misp_needs(made: FeedList) -> None:
    (covid,) = [each for each in made.feeds if each["Feed"]["name"] == "covid"]
    feed: dict[str, Any] = covid["Feed"]
    assert covid["Tag"] == {"name": "tlp:clear"}
    assert json.loads(feed["settings"])["csv"] == {"value": "2", "delimiter": "\\t"}
    assert json.loads(feed["settings"])["common"] == {"excluderegex": "/^#.*/i"}
    wanted = {"fixed_event": True, "delta_merge": True, "publish": True, "override_ids": True, "enabled": True,
              "source_format": "csv", "distribution": "1", "headers": "Accept: text/csv"}  # fmt: skip
    assert {name: feed[name] for name in wanted} == wanted


def test_no_secret_leaves_and_that_is_said(made: FeedList) -> None:
    assert "s3cret" not in json.dumps(made.feeds)
    told = {note["node"] for note in made.notes if "secret" in note["sentence"] or "key" in note["sentence"]}
    assert told == {"covid", "keyed"}


def test_what_misp_cannot_say_is_left_out_and_told(made: FeedList) -> None:
    assert [each["Feed"]["name"] for each in made.feeds] == ["covid", "words", "circl", "keyed"]
    assert {note["node"] for note in made.notes if note["sentence"].startswith("left out")} == {"named", "rows"}


def test_what_was_written_reads_back_as_it_was(made: FeedList) -> None:
    back = import_feeds(json.dumps({"feeds": made.feeds})).sources
    assert (back["covid"]["columns"], back["covid"]["delimiter"]) == ({"value": 2}, "tab")
    assert back["covid"]["event"] == {"publish": True}
    assert (back["covid"]["actionable"], back["covid"]["distribution"]) == (False, "server")
    assert (back["words"]["mode"], back["words"]["enabled"], back["words"]["event"]) == (
        "append",
        False,
        {"fixed": False},
    )
    assert (back["circl"]["max_age"], back["circl"]["event_tags"]) == ("30d", {"none": ["tlp:red"]})
    assert back["circl"]["organisations"] == {"any": ["CIRCL"]}
