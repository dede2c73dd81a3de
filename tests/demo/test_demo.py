"""The lab, as `tipline demo --json` plays it: the figures of the main job."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked outside the checkout: what a user installs."""
    place = tmp_path_factory.mktemp("wheel")
    root = Path(__file__).parents[2]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(build, cwd=root, check=True, capture_output=True, timeout=120)
    (built,) = place.glob("*.whl")
    with ZipFile(built) as archive:
        archive.extractall(place / "installed")
    return place / "installed"


@pytest.fixture(scope="module")
def figures(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Played once from the wheel, in a process of its own; the last line is one JSON object."""
    done = subprocess.run(
        [sys.executable, "-m", "tipline", "demo", "--json"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    played: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return played


def test_the_wheel_holds_its_data_and_licences(wheel: Path) -> None:
    """Lists, the lab, the public suffixes, and the licences of what came from others."""
    for name in (
        "tipline/library/never-block.txt",
        "tipline/demo/lab.yml",
        "tipline/demo/data/covid19/LICENSE",
        "tipline/model/data/public_suffix_list.dat",
        "tipline/cli/starter.yml",
        "tipline/py.typed",
    ):
        assert (wheel / name).is_file(), name
    assert list(wheel.glob("*.dist-info/licenses/LICENSE"))


def test_sentinel_holds_the_covid19_indicators(figures: dict[str, Any]) -> None:
    """Sent 295, accepted 295, errors 0, deleted 0; and the table counts them."""
    sentinel = figures["sentinel"]
    assert [sentinel[name] for name in ("sent", "accepted", "errors", "deleted")] == [295, 295, 0, 0]
    assert figures["tables"] == {"ThreatIntelligenceIndicator": 295, "ThreatIntelIndicators": 295}


def test_hand_added_indicator_is_in_defender(figures: dict[str, Any]) -> None:
    """With its title, action, severity, expiry and creator."""
    added = figures["hand_added"]
    assert added["title"] == "Lab - 123.123.123.123"
    assert (added["action"], added["severity"]) == ("Audit", "Informational")
    assert added["expirationTime"]
    assert added["createdByDisplayName"]


def test_next_version_sends_what_changed_alone(figures: dict[str, Any]) -> None:
    """16 additions and 2 removals; 293 rows that differ in FirstSeen are not sent again."""
    for delta in figures["delta"].values():
        assert delta == {"sent": 16, "accepted": 16, "errors": 0, "deleted": 2}


def test_bad_publish_is_held_and_additions_flow(figures: dict[str, Any]) -> None:
    """213 withdrawals wait for a person; the 4 new rows reach both far sides."""
    assert figures["guard"] == "held"
    assert (figures["held"]["withdrawals"], figures["held"]["additions"]) == (213, 4)
    for delta in figures["held"]["far_sides"].values():
        assert delta == {"sent": 4, "accepted": 4, "errors": 0, "deleted": 0}


def test_allowed_indicator_leaves_and_stays_away(figures: dict[str, Any]) -> None:
    """Withdrawn from both far sides, with receipts; the next poll does not bring it back."""
    allowed = figures["allow"]
    assert allowed["withdrawn"] == {"defender": 1, "sentinel": 1}
    assert allowed["in_defender"] == 0
    assert allowed["back_after_next_poll"] == []
    assert [receipt["state"] for receipt in allowed["receipts"]] == ["withdrawn"]


def test_everything_agrees_at_the_end(figures: dict[str, Any]) -> None:
    """Published sets equal the views from scratch, far sides equal what is published."""
    assert figures["verified"] is True
    assert figures["reconciled"] == {"defender": "clean", "sentinel": "clean"}
    assert figures["defender"]["errors"] == 0
    assert figures["defender"]["active"] + figures["defender"]["covered"] == 386
    assert figures["feeds"]["feed-hc"] > 300


def test_the_lab_that_is_left_running_lets_one_in(wheel: Path, tmp_path: Path) -> None:
    """Its last step prints the pages' address with the one-time token; SIGINT ends it."""
    command = [sys.executable, "-m", "tipline", "demo", "--serve"]
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            found = (re.search(r"pages: (http://\S+)/ui/first-visit\?token=(\S+)", line) for line in running.stdout)
            url, token = next(filter(None, found)).groups()
            form = {
                "token": token,
                "name": "ann",
                "password": "plum-Anchor-73-violet",
                "again": "plum-Anchor-73-violet",
            }
            with httpx.Client(base_url=url, trust_env=False, headers={"origin": url}, follow_redirects=True) as client:
                assert client.post("/ui/first-visit", data=form).url.path == "/ui/overview"
                assert client.get("/ui/overview?format=json").json()["figures"]["held"] > 300
        finally:
            running.send_signal(signal.SIGINT)
            running.communicate(timeout=60)
    assert running.returncode == 0
