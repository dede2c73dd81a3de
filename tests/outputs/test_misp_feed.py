"""A MISP feed's directory, read by PyMISP and by tipline's own source."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from pymisp import MISPEvent

from api.listening import listening
from engine.support import Given, Time, configuration, source
from tipline.api.mispfeed import router
from tipline.engine.core import Engine
from tipline.engine.mispfeed import write
from tipline.errors import StoreError
from tipline.model.types import TYPES
from tipline.outputs.misp_feed import MispFeedKind, MispFeedSettings
from tipline.outputs.misp_words import WORDS
from tipline.sources.base import PollContext
from tipline.sources.misp_feed import MispFeed

ROWS = [
    {"value": "bad.com", "tags": ["phish", 'a"b'], "description": "line\n</script>", "confidence": "80"},
    {"value": "8.8.8.0/24"},
    {"value": "a" * 64},
    {"value": "http://bad.com/x?y=1|2"},
]  # fmt: skip


class Stage:
    """An engine with one source and one feed."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.time = Time()
        self.source: Given = source("feed")
        values = {"kind": "misp-feed", "inputs": ["feed"], "guard": {"enabled": False}, "title": "CERT", **settings}
        output = MispFeedKind("out", MispFeedSettings.model_validate(values))
        self.engine = Engine(configuration(folder, self.source, output), clock=self.time)
        self.folder = output.folder(self.engine.data)

    def publish(self, rows: list[dict[str, Any]]) -> list[str]:
        self.source.rows = rows
        self.engine.poll("feed")
        self.engine.evaluate()
        return write(self.engine, "out")

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        return found

    def event(self, uuid: str = "") -> Any:
        event = MISPEvent()
        event.load_file(str(self.folder / f"{uuid or next(iter(self.manifest()))}.json"))
        return event

    def read_back(self, folder: Path, cursor: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """The values that our own source reads."""
        folder.mkdir(exist_ok=True)
        values = {"kind": "misp-feed", "url": str(self.folder)}
        node = MispFeed("back", MispFeed.Settings.model_validate(values))
        poll = node.poll(PollContext(feed="back", cursor=cursor, spool=folder, as_of=self.time(), base=folder))
        found = [value for frame in poll.frames for value in frame.filter(frame["drop"].is_null())["value"]]
        return found, dict(poll.cursor)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, event_tags=["tlp:clear"])
    with made.engine:
        yield made


def live(event: Any) -> dict[str, Any]:
    return {attribute.value: attribute for attribute in event.attributes if not attribute.deleted}


def test_pymisp_reads_the_event(stage: Stage) -> None:
    stage.publish(ROWS)
    event = stage.event()
    found = live(event)
    assert {value: (each.type, each.category) for value, each in found.items() if "://" not in value} == {
        "bad.com": ("domain", "Network activity"), "8.8.8.0/24": ("ip-dst", "Network activity"),
        "a" * 64: ("sha256", "Payload delivery"),
    }  # fmt: skip
    assert {tag.name for tag in found["bad.com"].tags} == {"tlp:clear", "phish", 'a"b'}
    assert found["bad.com"].comment == "line\n</script> [confidence 80]"
    assert (event.info, event.published, event.Orgc.name) == ("CERT", True, "tipline")


def test_the_manifest_and_hashes_are_those_that_pymisp_makes(stage: Stage) -> None:
    stage.publish(ROWS)
    event = stage.event()
    made = event.to_feed(with_meta=True)["Event"]
    (entry,) = stage.manifest().values()
    for name in ("info", "date", "threat_level_id", "analysis"):
        assert str(made["_manifest"][event.uuid][name]) == str(entry[name])
    assert entry["Orgc"]["uuid"] == made["Orgc"]["uuid"]
    assert int(made["_manifest"][event.uuid]["timestamp"]) == entry["timestamp"]
    with (stage.folder / "hashes.csv").open(newline="") as file:
        lines = {tuple(row) for row in csv.reader(file)}
    assert lines == {(hashlib.md5(value.encode()).hexdigest(), event.uuid) for value in live(event)}


def test_our_own_source_takes_it(stage: Stage, tmp_path: Path) -> None:
    stage.publish(ROWS)
    values, cursor = stage.read_back(tmp_path / "spool", {})
    assert sorted(values) == sorted(live(stage.event()))
    stage.publish(ROWS[1:])
    values, _ = stage.read_back(tmp_path / "spool", cursor)
    assert "bad.com" not in values
    assert len(values) == 3


def test_one_that_leaves_is_deleted_for_a_while_and_returns_as_another(stage: Stage) -> None:
    stage.publish(ROWS)
    first = live(stage.event())["bad.com"].uuid
    before = stage.manifest()
    stage.publish(ROWS[1:])
    gone = [each for each in stage.event().attributes if each.deleted]
    assert [(each.value, each.uuid) for each in gone] == [("bad.com", first)]
    assert list(stage.manifest()) == list(before)
    assert next(iter(stage.manifest().values()))["timestamp"] > next(iter(before.values()))["timestamp"]
    stage.time.forward(minutes=1)
    stage.publish(ROWS)
    assert live(stage.event())["bad.com"].uuid != first
    stage.publish(ROWS[1:])
    stage.time.forward(days=31)
    write(stage.engine, "out")
    assert [each.value for each in stage.event().attributes if each.deleted] == []


def test_only_events_with_changes_are_written(tmp_path: Path) -> None:
    stage = Stage(tmp_path, events=8)
    with stage.engine:
        rows = [{"value": f"host-{number}.bad.com"} for number in range(200)]
        assert len(stage.publish(rows)) == 8
        before = stage.manifest()
        assert stage.publish(rows) == []
        (changed,) = stage.publish(rows[1:])
        after = stage.manifest()
        assert {name for name in before if before[name] != after[name]} == {changed}
        assert sorted(live(stage.event(changed))) != []
        total = sum(len(live(stage.event(name))) for name in after)
        assert total == 199
        assert {path.name for path in stage.folder.iterdir()} == {
            "manifest.json", "hashes.csv", ".tipline.json", *(f"{name}.json" for name in after),
        }  # fmt: skip


def test_fewer_events_leave_no_file_behind(tmp_path: Path) -> None:
    stage = Stage(tmp_path, events=8)
    rows = [{"value": f"host-{number}.bad.com"} for number in range(50)]
    with stage.engine:
        stage.publish(rows)
    again = Stage(tmp_path, events=1)
    with again.engine:
        again.engine.evaluate()
        write(again.engine, "out")
        assert len(again.manifest()) == 1
        assert len(list(again.folder.glob("*-*.json"))) == 1


def test_the_manifest_is_never_empty(stage: Stage) -> None:
    stage.publish(ROWS)
    stage.publish([])
    stage.time.forward(days=31)
    write(stage.engine, "out")
    assert len(stage.manifest()) == 1


def test_before_the_first_evaluation(stage: Stage) -> None:
    with pytest.raises(StoreError, match="not been evaluated"):
        write(stage.engine, "out")


def test_categories_are_those_of_misp() -> None:
    known = MISPEvent().describe_types
    for name, (word, category) in WORDS.items():
        assert word in known["types"], name
        assert category == known["sane_defaults"][word]["default_category"], word
    assert set(WORDS) == {name for name, type_ in TYPES.items() if type_.misp}


@pytest.mark.parametrize("values", [{"path": "../x"}, {"events": 0}, {"organisation": ""}])
def test_wrong_settings(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MispFeedSettings.model_validate({"kind": "misp-feed", "inputs": ["x"], **values})


def test_served_behind_a_key(tmp_path: Path) -> None:
    stage = Stage(tmp_path, access="key", keys=["0123456789abcdef"])
    with stage.engine:
        stage.publish(ROWS)
        with listening(router(stage.engine)) as url, httpx.Client(base_url=url) as client:
            assert client.get("/misp/out/manifest.json").status_code == 401
            client.headers["authorization"] = "Bearer 0123456789abcdef"
            answer = client.get("/misp/out/manifest.json")
            assert answer.json() == stage.manifest()
            (event,) = stage.manifest()
            assert len(client.get(f"/misp/out/{event}.json").json()["Event"]["Attribute"]) == 4
            assert client.get("/misp/out/hashes.csv").text.count("\n") == 4
            again = client.get("/misp/out/manifest.json", headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304
            for name in (".tipline.json", "..%2Ftipline.yml", "x.json", f"{'0' * 8}-0000-0000-0000-{'0' * 12}.json"):
                assert client.get(f"/misp/out/{name}").status_code == 404
            assert client.get("/misp/other/manifest.json").status_code == 404
