"""Each far side equals its output, after random histories against a stand-in that fails and drops calls."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest

from proof.stage import FAR_SIDES, Stage, staged
from tipline.engine.people import Entry
from tipline.store.receipts import ACCEPTED, WITHDRAWN, delivery, scan

HASHES = [f"{number:064x}" for number in range(1, 25)]
ADDRESSES = [f"45.9.{number}.7" for number in range(1, 20)]
NETWORKS = ["45.9.3.0/30", "45.9.4.4-45.9.4.9"]
POOL = [*HASHES, *ADDRESSES, *NETWORKS]
FAULTS = {"throttle_rate": 0.08, "error_rate": 0.08, "drop_before_rate": 0.08, "drop_after_rate": 0.12}
CONFIGURATION = """\
instance: history
store: {threads: 1}
sources:
  a: {kind: lines, url: a.txt, guard: {enabled: false}, expire: left + 2h, confidence: 80}
  b:
    kind: csv
    url: b.csv
    mode: append
    columns: {value: value, confidence: confidence, valid_until: until, tlp: tlp, description: note}
    expire: last_seen + 9h
  hand: {kind: local}
  wl: {kind: lines, url: wl.txt, guard: {enabled: false}}
processors:
  inbound: {kind: aggregate, inputs: [a, b, hand], allow: [wl]}
outputs:
  defender:
    kind: microsoft-defender
    inputs: inbound
    where: confidence >= THRESHOLD
    severity: SEVERITY
    action_by_type: {sha256: ACTION}
    max_tlp: MAX_TLP
    capacity: CAPACITY
    guard: {enabled: false}
    credentials: &entra {credentials}
  sentinel:
    kind: microsoft-sentinel
    inputs: inbound
    lifetime: 2d
    refresh: 1d
    max_tlp: MAX_TLP
    workspace_id: "{workspace}"
    guard: {enabled: false}
    credentials: *entra
"""


class History:
    """A random history of one stage."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.trail: list[str] = []

    @staticmethod
    def configuration(pick: random.Random) -> str:
        """One of a few configurations."""
        text = CONFIGURATION.replace("THRESHOLD", pick.choice(["0", "60"])).replace(
            "CAPACITY", pick.choice(["500", "30"])
        )
        text = text.replace("SEVERITY", pick.choice(["Low", "High"])).replace(
            "MAX_TLP", pick.choice(["amber", "green"])
        )
        return text.replace("ACTION", pick.choice(["Audit", "Warn"]))

    def step(self) -> None:
        """Something happens, and a round follows, which may fail."""
        actions = [
            self.feeds,
            self.feeds,
            self.feeds,
            self.allow,
            self.disallow,
            self.add,
            self.remove,
            self.wait,
        ]
        action = self.random.choice([*actions, self.restart])
        self.trail.append(action.__name__)
        action()
        self.stage.round()

    def feeds(self) -> None:
        """New versions."""

        def some(most: int) -> list[str]:
            return self.random.sample(POOL, self.random.randrange(most))

        self.stage.feed("a.txt", "# a\n" + "\n".join(some(25)))
        until = (self.stage.clock() + timedelta(hours=self.random.randrange(1, 20))).isoformat()
        rows = [
            f"{value},{self.random.choice([30, 70])},{self.random.choice(['', until])},"
            f"{self.random.choice(['green', 'amber', 'red'])},{self.random.choice(['one', 'two'])}"
            for value in some(15)
        ]
        self.stage.feed("b.csv", "\n".join(["value,confidence,until,tlp,note", *rows]) + "\n")
        self.stage.feed("wl.txt", "# wl\n" + "\n".join(self.random.sample([*ADDRESSES, *NETWORKS, "45.9.8.0/22"], 2)))

    def allow(self) -> None:
        """By hand."""
        ttl = self.random.choice([None, timedelta(hours=3)])
        self.stage.people.allow(self.random.choice(POOL), reason="test", ttl=ttl, team="default", user="u")

    def disallow(self) -> None:
        """By hand."""
        self.stage.people.disallow(self.random.choice(POOL), team="default", user="u")

    def add(self) -> None:
        """By hand, perhaps for a while."""
        entry = Entry(self.random.choice(POOL), ttl=self.random.choice([None, timedelta(hours=4)]))
        self.stage.people.add([entry], source="hand", team="default", user="u")

    def remove(self) -> None:
        """By hand."""
        self.stage.people.remove([self.random.choice(POOL)], source="hand", team="default", user="u")

    def wait(self) -> None:
        """Time passes: things expire, are refreshed, and are tried again."""
        self.stage.forward(hours=self.random.choice([0.2, 2, 5, 30]))

    def restart(self) -> None:
        """The program ends, and another starts, perhaps with another configuration."""
        self.stage.restart(self.configuration(self.random))

    def settle(self) -> None:
        """The far sides work again, and everything goes through."""
        self.stage.sandbox.faults.clear()
        for _ in range(20):
            self.stage.round()
            control = self.stage.engine.control
            states = {delivery(control, name).state for name in FAR_SIDES}
            receipts = {r.state for name in FAR_SIDES for part in scan(control, name) for r in part}
            if states == {"ok"} and receipts <= {ACCEPTED, WITHDRAWN}:
                return
            self.stage.forward(minutes=7)
        left = [
            r
            for name in FAR_SIDES
            for part in scan(control, name)
            for r in part
            if r.state not in {ACCEPTED, WITHDRAWN}
        ]
        raise AssertionError((self.trail, states, left))


@pytest.mark.parametrize("seed", range(int(os.environ.get("TIPLINE_HISTORIES", "3"))))
def test_each_far_side_equals_its_output(seed: int, tmp_path: Path) -> None:
    """`TIPLINE_HISTORIES=50` plays more of them."""
    for name, first in (
        ("a.txt", "# a\n"),
        ("b.csv", "value,confidence,until,tlp,note\n"),
        ("wl.txt", "# wl\n"),
    ):
        (tmp_path / name).write_text(first)
    with staged(tmp_path, History.configuration(random.Random(seed)), attempts=2) as stage:
        history = History(stage, seed)
        for _ in range(4):
            stage.sandbox.faults.set(**FAULTS, seed=seed, only=("defender", "sentinel"))
            for _ in range(3):
                history.step()
            history.settle()
            assert stage.wrong() == [], history.trail
            sentinel = stage.published("sentinel")
            assert stage.there("sentinel") == sorted(sentinel), history.trail
            waiting = delivery(stage.engine.control, "defender").detail["waiting"]
            there, published = stage.there("defender"), stage.published("defender")
            assert len(set(there)) == len(there), history.trail
            assert set(there) <= published, history.trail
            assert len(there) == len(published) - waiting.get("no-slot", 0), (history.trail, waiting)
            if "capacity: 500" in (tmp_path / "stage.yml").read_text():
                assert set(there) == published, history.trail
            else:
                assert len(there) == min(30, len(published)), history.trail
