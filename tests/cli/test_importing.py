"""`tipline import`: what another tool is configured with becomes sources that pass `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FEEDS = [
    {
        "Feed": {
            "name": "COVID-19",
            "provider": "Microsoft",
            "url": "https://feeds.example.org/covid.csv",
            "source_format": "csv",
            "distribution": "0",
            "fixed_event": True,
            "publish": True,
            "settings": {"csv": {"value": "2", "delimiter": ","}},
            "headers": "X-Api-Key: secret-of-the-feed",
        }
    }
]


def test_misps_feed_list_becomes_sources(place: Path, tipline_: Any) -> None:
    (place / "feeds.json").write_text(json.dumps(FEEDS))

    answer = tipline_("import", "misp-feeds", "feeds.json", "--output", "imported.yml", "--json")

    assert answer.code == 0
    assert answer.json["sources"]["covid-19"]["columns"] == {"value": 2}
    assert {note["setting"] for note in answer.json["notes"]} >= {"fixed_event", "publish"}
    assert "secret-of-the-feed" not in json.dumps(answer.json) + (place / "imported.yml").read_text()


def test_an_existing_file_is_not_written_over(place: Path, tipline_: Any) -> None:
    (place / "feeds.json").write_text(json.dumps(FEEDS))
    (place / "imported.yml").write_text("mine")

    answer = tipline_("import", "misp-feeds", "feeds.json", "--output", "imported.yml", "--json")

    assert answer.code == 1
    assert (place / "imported.yml").read_text() == "mine"
