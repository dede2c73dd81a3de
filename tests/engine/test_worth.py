"""What a feed is worth: age, lead over others, churn without the first fill, and what harmless lists have of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.engine.asker import Asker
from tipline.engine.core import Engine
from tipline.engine.operations import Operations

CONFIG = """\
teams: {red: {}}
sources:
  early: {kind: lines, url: FOLDER/early.txt}
  late: {kind: lines, url: FOLDER/late.txt}
  ours: {kind: lines, url: FOLDER/ours.txt}
processors:
  merged: {kind: aggregate, inputs: [early, late], allow: ours}
outputs:
  all: {kind: list, inputs: merged, max_tlp: amber}
"""
START = datetime.fromisoformat("2026-03-01")


@pytest.fixture
def now() -> list[datetime]:
    return [START]


@pytest.fixture
def operations(tmp_path: Path, now: list[datetime]) -> Iterator[Operations]:
    (tmp_path / "early.txt").write_text("a.example.com\nb.example.com\nc.example.com\nwww.ours.example.org\n")
    (tmp_path / "late.txt").write_text("z.example.com\n")
    (tmp_path / "ours.txt").write_text("ours.example.org\n")
    path = tmp_path / "tipline.yml"
    configuration = check_text(CONFIG.replace("FOLDER", str(tmp_path)), path).usable()
    with Engine(configuration, clock=lambda: now[0]) as engine, closing(Operations(engine)) as found:
        yield found


def told(operations: Operations) -> dict[str, Any]:
    return {each["source"]: each for each in operations.call("worth", {})["sources"]}


def test_age_lead_churn_and_what_is_harmless(operations: Operations, now: list[datetime], tmp_path: Path) -> None:
    for source in ("early", "late", "ours"):
        operations.call("poll", {"source": source})
    first = told(operations)
    assert set(first) == {"early", "late"}
    assert (first["early"]["indicators"], first["early"]["lists"]) == (4, {"ours": 1})
    assert (first["early"]["first"], first["early"]["lead"], first["early"]["churn"]) == (0, None, None)
    now[0] = START + timedelta(days=10)
    (tmp_path / "late.txt").write_text("z.example.com\na.example.com\nb.example.com\n")
    operations.call("poll", {"source": "late"})
    now[0] = START + timedelta(days=12)
    second = told(operations)
    assert (second["early"]["first"], second["early"]["lead"]) == (2, 10)
    assert (second["late"]["first"], second["late"]["lead"]) == (0, None)
    assert (second["early"]["median_age"], second["late"]["median_age"]) == (12, 2)
    assert second["late"]["newest"] == "2026-03-11T00:00:00Z"
    assert second["late"]["churn"] == {"added": 2, "removed": 0, "daily": 2 / 2 / 3 / 2}


def test_another_team_sees_nothing_of_it(operations: Operations) -> None:
    operations.call("poll", {"source": "early"})
    assert operations.asked_by(Asker("rhea", "red")).call("worth", {}) == {"sources": []}
