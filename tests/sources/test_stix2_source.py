"""The kind stix2: files of one feed belong together, and append mode takes back what was revoked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.support import NO_GUARD, Time, configuration, plain, published
from tipline.engine.core import Engine
from tipline.sources.stix2 import Stix2, Stix2FeedSettings


def write(path: Path, *objects: dict[str, Any]) -> None:
    path.write_text(json.dumps({"type": "bundle", "objects": list(objects)}))


def indicator(identity: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "indicator",
        "id": identity,
        "pattern": f"[url:value = '{value}']",
        "created": "2024",
        **more,
    }


def engine_of(folder: Path, **settings: Any) -> Engine:
    given = {"kind": "stix2", "url": str(folder / "*.json"), "tlp": "clear", "guard": NO_GUARD, **settings}
    node = Stix2("feed", Stix2FeedSettings.model_validate(given))
    return Engine(configuration(folder, node, plain("out", "feed")), in_memory=True, clock=Time())


def test_files_of_one_feed_are_read_together(tmp_path: Path) -> None:
    """A name in one file, the relationship in another, the newer version in a third."""
    write(tmp_path / "1.json", indicator("i--1", "http://old.com/", modified="2024-01-01T00:00:00Z"))
    write(tmp_path / "2.json", {"type": "malware", "id": "m--1", "name": "Ivy"})
    link = {
        "type": "relationship",
        "relationship_type": "indicates",
        "source_ref": "i--1",
        "target_ref": "m--1",
    }
    write(tmp_path / "3.json", link, indicator("i--1", "http://new.com/", modified="2024-02-01T00:00:00Z"))
    engine = engine_of(tmp_path)
    try:
        assert engine.poll("feed").ledger.dropped == {"superseded": 1}
        engine.evaluate()
        assert {value: row["tags"] for value, row in published(engine, "out").items()} == {"http://new.com/": ["Ivy"]}
    finally:
        engine.close()


def test_append_mode_takes_back_what_is_revoked(tmp_path: Path) -> None:
    write(tmp_path / "1.json", indicator("i--1", "http://a.com/"), indicator("i--2", "http://b.com/"))
    engine = engine_of(tmp_path, mode="append", expire="never")
    try:
        assert engine.poll("feed").added == 2
        write(tmp_path / "1.json", indicator("i--1", "http://a.com/", modified="2025", revoked=True))
        result = engine.poll("feed")
        assert (result.removed, result.ledger.dropped) == (1, {"revoked": 1})
        engine.evaluate()
        assert set(published(engine, "out")) == {"http://b.com/"}
    finally:
        engine.close()
