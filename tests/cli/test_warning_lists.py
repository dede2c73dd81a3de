"""Commands on warning lists."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Command


def test_lists_are_switched_added_looked_through_and_removed(filled: Path, tipline_: Command) -> None:
    found = {"name": "Ours", "description": "d", "type": "hostname", "list": ["example.com", "example.org"]}
    (filled / "ours.json").write_text(json.dumps(found))
    done = tipline_("warning-lists", "enable", "--recommended")
    assert (done.code, done.out) == (0, "the recommended lists in use\n")
    assert tipline_("warning-lists", "disable", "public-dns-v4", "cloudflare").code == 0
    assert "2 entries are in use" in tipline_("warning-lists", "add", "ours", "ours.json", "--every", "12h").out
    assert "its action is drop" in tipline_("warning-lists", "set", "ours", "--action", "drop").out
    listed = {each["name"]: each for each in tipline_("warning-lists", "list", "--json").json["lists"]}
    assert [listed[name]["enabled"] for name in ("ours", "cloudflare", "microsoft", "tranco10k")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert listed["ours"]["hits"] == 2
    assert "feed" in tipline_("warning-lists", "show", "ours").out
    assert tipline_("warning-lists", "entries", "ours", "--text", "org").out == "example.org\n"
    assert "example.com" in tipline_("warning-lists", "check", "a.example.com", "1.2.3.4").out
    assert "on warning list ours" in tipline_("why", "evil.example.com").out
    assert "as it was" in tipline_("warning-lists", "refresh", "ours").out
    assert tipline_("warning-lists", "remove", "ours").code == 0
    assert "evil.example.com" in {row["value"] for row in tipline_("list", "all", "--json").json["rows"]}
    text = (filled / "tipline.yml").read_text()
    assert "recommended: true" in text
    assert "public-dns-v4: {enabled: false}" in text


def test_what_cannot_be_is_said(filled: Path, tipline_: Command) -> None:
    assert "no list is named" in tipline_("warning-lists", "enable").err
    assert "did you mean microsoft?" in tipline_("warning-lists", "enable", "mircosoft").err
    (filled / "bad.json").write_text("[]")
    assert "this is no warning list of MISP's" in tipline_("warning-lists", "add", "bad", "bad.json").out
    assert "no list of your own" in tipline_("warning-lists", "remove", "microsoft").err
