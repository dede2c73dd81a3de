"""The founding feed's real history: what each version changes, and no more, reaches each far side."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from proof.stage import FAR_SIDES, Stage, staged

HISTORY = Path(__file__).resolve().parents[1] / "data" / "covid19" / "history"
VERSIONS = ["001", "002", "003", "004", "016", "026", "027", "054"]
CONFIGURATION = """\
instance: replay
store: {threads: 1}
sources:
  covid19:
    kind: csv
    url: covid19.csv
    header: false
    columns: {first_seen: 1, value: 2, tlp: 4, threat_types: 6, description: 7}
    guard: {enabled: SOURCE_GUARD}
outputs:
  defender:
    kind: microsoft-defender
    inputs: covid19
    guard: {enabled: OUTPUT_GUARD}
    credentials: &entra {credentials}
  sentinel:
    kind: microsoft-sentinel
    inputs: covid19
    workspace_id: "{workspace}"
    guard: {enabled: OUTPUT_GUARD}
    credentials: *entra
"""


def body(version: str) -> bytes:
    return next(HISTORY.glob(f"{version}_*.csv")).read_bytes()


def rows(version: str) -> dict[str, tuple[str, ...]]:
    """What the far sides show of each value: all but when it was first seen."""
    return {row[1].lower(): tuple(row[2:]) for row in csv.reader(body(version).decode().splitlines())}


def configuration(*, source_guard: bool, output_guard: bool) -> str:
    text = CONFIGURATION.replace("SOURCE_GUARD", str(source_guard).lower())
    return text.replace("OUTPUT_GUARD", str(output_guard).lower())


def play(stage: Stage, version: str) -> dict[str, dict[str, int]]:
    """Serve a version and do one round; returns what each far side was sent."""
    before = stage.counts()
    stage.feed("covid19.csv", body(version))
    stage.forward(hours=1)
    stage.round()
    after = stage.counts()
    return {side: {name: after[side][name] - before[side][name] for name in after[side]} for side in FAR_SIDES}


def exact(stage: Stage, expected: set[str]) -> None:
    for side in FAR_SIDES:
        assert stage.published(side) == expected, side
        assert stage.there(side) == sorted(expected), side
    assert stage.wrong() == []


def test_without_guards_each_far_side_is_exact_after_each_version(tmp_path: Path) -> None:
    with staged(tmp_path, configuration(source_guard=False, output_guard=False)) as stage:
        before: dict[str, tuple[str, ...]] = {}
        for version in VERSIONS:
            now = rows(version)
            added, removed = now.keys() - before.keys(), before.keys() - now.keys()
            sent = play(stage, version)
            exact(stage, set(now))
            for side in FAR_SIDES:
                expected = {"sent": len(added), "accepted": len(added), "errors": 0, "deleted": len(removed)}
                assert sent[side] == expected, (version, side)
            before = now


def test_bad_publish_is_held_while_additions_flow_and_later_versions_converge(tmp_path: Path) -> None:
    with staged(tmp_path, configuration(source_guard=True, output_guard=True)) as stage:
        play(stage, "001")
        exact(stage, set(rows("001")))
        sent = play(stage, "002")
        new = rows("002").keys() - rows("001").keys()
        exact(stage, set(rows("001")) | set(rows("002")))
        for side in FAR_SIDES:
            assert (sent[side]["sent"], sent[side]["deleted"]) == (len(new), 0) == (10, 0)
        (hold,) = stage.people.holds()
        assert (hold["node"], hold["what"], hold["count"]) == ("covid19", "withdrawals", 197)
        assert "197 of 283 indicators would go at once" in hold["reason"]
        for version in ("003", "004", "016", "026"):
            play(stage, version)
            exact(stage, set(rows(version)))
            assert stage.people.holds() == []
        play(stage, "027")
        exact(stage, set(rows("026")) | set(rows("027")))
        (hold,) = stage.people.holds()
        assert (hold["node"], hold["what"], hold["count"]) == ("covid19", "withdrawals", 585)
        stage.people.approve("covid19", user="u")
        stage.round()
        exact(stage, set(rows("027")))
        assert stage.people.holds() == []


def test_what_is_held_goes_by_itself_after_a_day_in_which_the_feed_agrees(tmp_path: Path) -> None:
    with staged(tmp_path, configuration(source_guard=True, output_guard=True)) as stage:
        play(stage, "026")
        play(stage, "027")
        both = set(rows("026")) | set(rows("027"))
        for _ in range(3):
            stage.forward(hours=7)
            stage.round()
            exact(stage, both)
        stage.forward(hours=7)
        stage.round()
        exact(stage, set(rows("027")))
        assert stage.people.holds() == []


def test_output_guard_alone_holds_the_removals_until_approved(tmp_path: Path) -> None:
    with staged(tmp_path, configuration(source_guard=False, output_guard=True)) as stage:
        play(stage, "026")
        sent = play(stage, "027")
        both = set(rows("026")) | set(rows("027"))
        for side in FAR_SIDES:
            assert sent[side]["deleted"] == 0
            assert stage.there(side) == sorted(both)
        assert {hold["node"] for hold in stage.people.holds()} == set(FAR_SIDES)
        assert {hold["count"] for hold in stage.people.holds()} == {585}
        for side in FAR_SIDES:
            stage.people.approve(side, user="u")
        stage.round()
        exact(stage, set(rows("027")))


@pytest.mark.parametrize("version", VERSIONS)
def test_history_is_whole(version: str) -> None:
    """The copies of the versions are what the guards' numbers above are about."""
    assert (
        len(rows(version))
        == {"001": 283, "002": 96, "003": 295, "004": 309, "016": 536, "026": 950, "027": 515, "054": 36}[version]
    )
