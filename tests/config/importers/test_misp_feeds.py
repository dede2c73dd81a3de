"""MISP's feed list as sources: what is kept, what is translated, what is said to be lost."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.config.importers.misp_feeds import Imported, import_feeds
from tipline.errors import FormatError
from tipline.formats.pcre import comment_prefix, plain
from tipline.sources.base import PollContext
from tipline.sources.bodies import feed_kinds, read_body

MISP = {
    "name": "CIRCL OSINT Feed",
    "provider": "CIRCL",
    "url": "https://www.circl.lu/doc/misp/feed-osint",
    "source_format": "misp",
    "enabled": True,
    "distribution": "3",
    "rules": json.dumps(
        {
            "tags": {"OR": ["tlp:white"], "NOT": ["type:test"]},
            "orgs": {"OR": [], "NOT": ["Spam"]},
            "url_params": json.dumps({"timestamp": "30d"}),
        }
    ),
}
CSV = {
    "name": "Phishtank",
    "provider": "Phishtank",
    "url": "https://data.phishtank.com/data/online-valid.csv",
    "source_format": "csv",
    "enabled": "0",
    "distribution": "0",
    "fixed_event": True,
    "delta_merge": True,
    "override_ids": True,
    "publish": True,
    "settings": json.dumps(
        json.dumps(
            {
                "csv": {"value": "3,4", "delimiter": "\\t"},
                "common": {"excluderegex": "/^http:\\/\\/www.phishtank.com/i"},
            }
        )
    ),
}
LINES = {
    "name": "Phishtank",
    "provider": "x",
    "url": "https://lists.example.org/all.txt",
    "source_format": "freetext",
    "headers": "X-Api-Key: s3cret\nAccept: text/plain\nUser-Agent: x\n"
    f"Authorization: Basic {base64.b64encode(b'me:pa:ss').decode()}",
    "delta_merge": False,
    "settings": {"common": {"excluderegex": "/^#.*/"}},
}


def imported(*feeds: dict[str, Any], tag: Any = None) -> Imported:
    return import_feeds(json.dumps([{"Feed": feed, "Tag": tag} for feed in feeds]))


def said(made: Imported, outcome: str) -> set[str]:
    return {note.setting for note in made.notes if note.outcome == outcome}


def test_what_it_writes_passes_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = imported(MISP, CSV, LINES, tag={"name": "osint"})
    for name, value in made.secrets.items():
        monkeypatch.setenv(name, value)
    outputs = f"outputs:\n  out: {{kind: list, inputs: [{', '.join(made.sources)}]}}\n"
    found = check_text(made.yaml() + outputs, tmp_path / "tipline.yml")
    assert [str(problem) for problem in found.problems] == []
    assert list(made.sources) == ["circl-osint-feed", "phishtank", "phishtank-2"]


def test_a_misp_feed_keeps_its_rules() -> None:
    (source,) = imported(MISP, tag={"name": "tlp:green"}).sources.values()
    assert source["kind"] == "misp-feed"
    assert source["event_tags"] == {"any": ["tlp:white"], "none": ["type:test"]}
    assert source["organisations"] == {"none": ["Spam"]}
    assert (source["max_age"], source["tlp"], source["distribution"]) == ("30d", "green", "all")


def test_a_csv_feed() -> None:
    made = imported(CSV)
    (source,) = made.sources.values()
    assert (source["columns"], source["delimiter"], source["header"]) == ({"value": [3, 4]}, "tab", False)
    assert (source["enabled"], source["actionable"], source["distribution"]) == (False, False, "team")
    assert "mode" not in source
    assert source["ignore"] == ["(?i)^http://www.phishtank.com"]
    assert said(made, "lost") == set()
    assert said(made, "later") == {"fixed_event", "publish"}
    assert source["event"] == {"publish": True}


def test_what_misp_leaves_out_is_left_out(tmp_path: Path) -> None:
    """`ignore` skips the very values that MISP's expression did: cells of CSV, words of text."""
    common = {"excluderegex": "/^#.*|Threatview.*/i"}
    for form, settings, body in [
        ("csv", {"csv": {"value": "1,3"}, "common": common}, "a.com,x,b.threatview.io\nc.com,threatview,d.com\n"),
        ("freetext", {"common": common}, "a.com b.threatview.io c.com\n# by Threatview d.com\n"),
    ]:
        made = imported({**CSV, "source_format": form, "settings": json.dumps(settings)})
        (source,) = made.sources.values()
        feed = feed_kinds()[source["kind"]]
        (tmp_path / "body").write_text(body)
        read = read_body(
            feed("x", feed.Settings.model_validate(source)),
            tmp_path / "body",
            PollContext(tmp_path, {}, datetime.fromisoformat("2026-01-01"), "x"),
            "x",
        )
        values = [value for frame in read.frames() for value in frame["value"]]
        assert sorted(values) == ["a.com", "c.com", "d.com"]


def test_every_option_is_spoken_of() -> None:
    """The fields of a feed that mean something, as `GET feeds/index` gives them."""
    feed = {
        **CSV, "input_source": "local", "url": "/var/feeds/x.csv", "delete_local_file": True, "distribution": "5",
        "sharing_group_id": "2", "tag_id": "7", "tag_collection_id": "3", "orgc_id": "4", "caching_enabled": True,
        "lookup_visible": True, "force_to_ids": True, "settings": {"disable_correlation": "1"},
        "headers": "X-Api-Key: s3cret",
    }  # fmt: skip
    made = imported(feed)
    spoken = {note.setting for note in made.notes}
    assert spoken == {
        "input_source", "delete_local_file", "distribution", "tag_id", "tag_collection_id", "orgc_id", "publish",
        "caching_enabled", "lookup_visible", "force_to_ids", "settings.disable_correlation", "headers", "fixed_event",
        "override_ids", "settings.csv.value",
    }  # fmt: skip
    plain_one = imported({**MISP, "settings": {"unpublish_event": True}})
    assert {note.setting for note in plain_one.notes} == {
        "distribution", "rules", "attributes", "settings.unpublish_event",
    }  # fmt: skip


def test_without_delta_merge_nothing_is_withdrawn() -> None:
    (source,) = imported(LINES).sources.values()
    assert (source["mode"], source["expire"]) == ("append", "never")


def test_secrets_are_named_and_not_written() -> None:
    made = imported(LINES)
    assert made.secrets == {"PHISHTANK_X_API_KEY": "s3cret", "PHISHTANK_PASSWORD": "pa:ss"}
    assert "s3cret" not in made.yaml() + repr(made)
    (source,) = made.sources.values()
    assert source["headers"] == {"X-Api-Key": "${env:PHISHTANK_X_API_KEY}", "Accept": "text/plain"}
    assert source["basic"] == {"username": "me", "password": "${env:PHISHTANK_PASSWORD}"}


def test_tags_that_the_list_does_not_name_are_said() -> None:
    assert said(imported({**LINES, "tag_id": "7"}), "lost") == {"tag_id"}


@pytest.mark.parametrize("body", ["x", "3", '["a"]', "[" * 100_000])
def test_what_is_no_feed_list_is_refused(body: str) -> None:
    with pytest.raises(FormatError):
        import_feeds(body)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/^#.*/i", "(?i)^#.*"),
        ("/a\\/b/", "a/b"),
        ("#a\\#b#u", "a#b"),
        ("{a{2}}", "a{2}"),
        ("(a)", "a"),
        ("^#", None),
        ("/(/", None),
        ("/^(?!good)/", None),
        ("/a/e", None),
        ("", None),
    ],
)
def test_delimiters_of_pcre(given: str, expected: str | None) -> None:
    assert plain(given) == expected


def test_expressions_that_only_say_comment() -> None:
    assert [comment_prefix(each) for each in ("^#.*", "(?i)^#", "^#.*|Threatview.*")] == ["#", "#", None]
