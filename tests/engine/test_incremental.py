"""The sentence of correctness: for every output, the incremental result equals the view evaluated from scratch."""

from __future__ import annotations

import json
import random
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.support import NO_GUARD, Given, Time, aggregate, configuration, plain, source
from tipline.config.schema import Configuration
from tipline.config.warning_lists import WarningListSettings, WarningSettings
from tipline.engine.core import Engine
from tipline.engine.people import Entry, People
from tipline.engine.verify import verify
from tipline.outputs.microsoft_defender import DefenderSettings, MicrosoftDefender
from tipline.outputs.microsoft_sentinel import MicrosoftSentinel, SentinelSettings
from tipline.processors.filter import FilterKind, FilterSettings
from tipline.processors.ranges import Ranges, RangesSettings
from tipline.sources.local import Local, LocalSettings

ADDRESSES = [f"8.8.4.{n}" for n in range(16)] + ["2600::1", "2600::2", "9.9.9.9"]
NETWORKS = ["8.8.4.0/29", "8.8.4.8/29", "8.8.4.0/28", "8.8.4.4/30", "8.8.4.3-8.8.4.9", "2600::/126", "8.8.0.0/16"]
NAMES = ["evil.com", "www.evil.com", "a.www.evil.com", "good.org", "cdn.good.org"]
URLS = ["http://evil.com/", "http://www.evil.com/x.exe", "http://8.8.4.4/y", "https://good.org/z?q=1"]
VALUES = [*ADDRESSES, *NETWORKS, *NAMES, *URLS, "d41d8cd98f00b204e9800998ecf8427e"]
EXPANDING: dict[str, Any] = {"inputs": ["agg", "late"], "max_tlp": "red", "guard": {"enabled": False}, "expand": 8}
TLPS = ["clear", "green", "amber", "red", None]


class World:
    """A small world that changes at random, and an engine that follows it."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = random.Random(seed)
        self.directory = directory
        self.time = Time()
        self.rows: dict[str, list[dict[str, Any]] | None] = {"a": [], "b": [], "late": [], "wl": []}
        self.threshold = 60
        self.allow_on = True
        self.warning: dict[str, str] = {"own": "tag", "other": "tag"}
        self.engine = self.open()

    def open(self) -> Engine:
        """Start an engine on what is there."""
        return Engine(self.configuration(), clock=self.time)

    def configuration(self) -> Configuration:
        """Three feeds in both modes, lists, and outputs of every reach and audience."""
        nodes = [
            source("a", expire="left + 2h", reliability=90),
            source("b", mode="append", expire="last_seen + 5h", team="red", distribution="server"),
            source("late", expire=["left + 0", "added + 7h"], tags=["late"]),
            source("wl"),
            Local("hand", LocalSettings(kind="local", tlp="clear", guard=NO_GUARD)),
            aggregate("agg", ["a", "b", "late", "hand"], ["wl"] if self.allow_on else [], confidence="weighted"),
            Ranges("ranges", RangesSettings(kind="ranges", inputs=["a", "b", "hand"], allow=["wl"])),
            Ranges("joined", RangesSettings(kind="ranges", inputs=["a", "late"], merge_neighbours=True, cidrs=True)),
            FilterKind("fresh", FilterSettings(kind="filter", inputs=["agg"], where="age < 4h or confidence > 80")),
            plain("all", "agg"),
            plain("high", "agg", where=f"confidence >= {self.threshold}"),
            plain("fresh-out", "fresh"),
            plain("public", ["a", "b", "late"], max_tlp="green"),
            plain("net", "ranges"),
            plain("cidrs", ["joined", "hand"]),
            plain("old", "a", where="age >= 3h"),
            # Delivered outputs expand networks; without credentials they only publish.
            MicrosoftDefender("defender", DefenderSettings(**EXPANDING, action="Block", kind="microsoft-defender")),
            MicrosoftSentinel("sentinel", SentinelSettings(**EXPANDING, kind="microsoft-sentinel")),
        ]
        for node in nodes:
            if isinstance(node, Given):
                node.rows = self.rows[node.name]
        made = configuration(self.directory, *nodes, allow_lists=["wl"])
        lists = {
            name: WarningListSettings(url=["x"], action="drop" if action == "drop" else "tag", enabled=action != "off")
            for name, action in self.warning.items()
        }
        made.settings = made.settings.model_copy(update={"warning_lists": WarningSettings(lists=lists)})
        return made

    def step(self) -> str:
        """Change something at random; returns what."""
        actions = [self.poll] * 6 + [self.wait] * 3 + [self.allow, self.disallow, self.add, self.remove, self.tick]
        actions += [self.restart, self.reconfigure, self.fail, self.warn, self.warn]
        action = self.random.choice(actions)
        action()
        return action.__name__

    def poll(self) -> None:
        """New rows of one or two feeds."""
        for name in self.random.sample(sorted(self.rows), self.random.choice([1, 1, 2])):
            self.rows[name] = [self.row(name) for _ in range(self.random.randrange(0, 9))]
            node = self.engine.graph.sources[name]
            assert isinstance(node, Given)
            node.rows = self.rows[name]
            assert self.engine.poll(name).state in {"ok", "unchanged"}

    def row(self, name: str) -> dict[str, Any]:
        """One row of a feed."""
        ends = self.time.now + timedelta(hours=self.random.randrange(-2, 9))
        seen = self.time.now - timedelta(hours=self.random.randrange(0, 9))
        pick = self.random.random
        return {
            "value": self.random.choice(VALUES),
            "record": self.random.choice(["", "", "r1", "r2"]),
            "confidence": str(self.random.randrange(30, 100)) if pick() < 0.7 else None,
            "tlp": self.random.choice(TLPS),
            "tags": self.random.sample(["x", "y", "z"], self.random.randrange(0, 3)),
            "description": self.random.choice([None, "one", "two"]),
            "valid_until": ends.isoformat() if pick() < 0.4 and name != "wl" else None,
            "first_seen": seen.isoformat() if pick() < 0.4 else None,
            "actionable": self.random.choice(["true", "false", None]),
        }

    def warn(self) -> None:
        """A warning list was fetched again, and says something else."""
        match = self.random.choice(["string", "hostname", "cidr", "substring"])
        entries = ["evil", "good"] if match == "substring" else self.random.sample(VALUES, 4)
        found = {"name": "n", "description": "d", "type": match, "list": entries}
        path = self.engine.warnings.path(self.random.choice(list(self.warning)))
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found))

    def wait(self) -> None:
        """Let time pass."""
        self.time.forward(minutes=self.random.randrange(1, 200))

    def tick(self) -> None:
        """What time does to claims."""
        self.engine.tick()

    def allow(self) -> None:
        """Allow a value by hand, perhaps for a while."""
        ttl = timedelta(hours=2) if self.random.random() < 0.5 else None
        People(self.engine).allow(self.random.choice(VALUES), reason="r", ttl=ttl, team="default", user="u")

    def disallow(self) -> None:
        """Take back what was allowed."""
        People(self.engine).disallow(self.random.choice(VALUES), team="default", user="u")

    def add(self) -> None:
        """Add a value by hand, perhaps for a while."""
        ttl = timedelta(hours=3) if self.random.random() < 0.5 else None
        user = self.random.choice(["u", "v"])
        entry = Entry(self.random.choice(VALUES), ttl=ttl, tlp=self.random.choice(TLPS))
        People(self.engine).add([entry], source="hand", team="default", user=user)

    def remove(self) -> None:
        """Remove what was added by hand."""
        People(self.engine).remove([self.random.choice(VALUES)], source="hand", team="default", user="u")

    def fail(self) -> None:
        """A feed's server dies, so that its ageing stands still."""
        name = self.random.choice(["a", "b", "late"])
        node = self.engine.graph.sources[name]
        assert isinstance(node, Given)
        node.rows = None
        assert self.engine.poll(name).state == "failed"

    def restart(self) -> None:
        """Stop and start."""
        self.engine.close()
        self.engine = self.open()

    def reconfigure(self) -> None:
        """Change settings that some outputs depend on."""
        self.threshold = self.random.choice([50, 60, 75])
        self.allow_on = self.random.random() < 0.7
        self.warning = {name: self.random.choice(["tag", "tag", "drop", "off"]) for name in self.warning}
        self.restart()


def histories(count: int, first: int = 0) -> range:
    return range(first, first + count)


@pytest.mark.parametrize("seed", histories(6))
def test_incremental_equals_full(seed: int) -> None:
    """Whatever happens, in whatever order, evaluated at whatever moments."""
    run_history(seed, steps=16)


def run_history(seed: int, steps: int) -> None:
    """One random history, checked after every evaluation."""
    with tempfile.TemporaryDirectory() as place:
        world = World(seed, Path(place))
        trail: list[str] = []
        try:
            for _ in range(steps):
                trail.append(world.step())
                if world.random.random() < 0.6:
                    some = world.random.sample(sorted(world.engine.graph.outputs), 4)
                    world.engine.evaluate(some)
                    trail.append("evaluate")
                    for found in verify(world.engine, some):
                        assert found.equal, (seed, trail, found)
                        assert found.ledger["read"] == found.ledger["accepted"] + found.ledger["duplicate"] + sum(
                            found.ledger["dropped"].values()
                        )
            for found in verify(world.engine):
                assert found.equal, (seed, trail, found)
        finally:
            world.engine.close()
