"""The program that is killed: polls, evaluates and delivers in a loop, until it is told to finish and report.

Run as `python child.py CONFIGURATION URL REPORT`, with the tests' directory on the path.
"""

from __future__ import annotations

import json
import logging
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from engine.lab import impatient
from tipline.config.check import load
from tipline.engine.core import Engine
from tipline.engine.listfiles import DEFAULT, list_files
from tipline.engine.people import Entry, People
from tipline.engine.schedule import Scheduler
from tipline.engine.verify import verify
from tipline.errors import FarSideError
from tipline.store.receipts import ACCEPTED, WITHDRAWN, delivery, scan
from tipline.store.schema import ADDED, REMOVED, log_table, published_table

MOST_ROUNDS = 60
FAR_SIDES = ("defender", "sentinel")


class Program:
    """One life of the program."""

    def __init__(self, configuration: str, outside: str) -> None:
        self.outside = outside
        self.ahead = timedelta(seconds=self.ask("now")["ahead"])
        self.engine = Engine(load(Path(configuration)), clock=self.clock)
        self.scheduler = Scheduler(self.engine)
        self.people = People(self.engine)

    def clock(self) -> datetime:
        """The test's time."""
        return datetime.now(UTC).replace(tzinfo=None) + self.ahead

    def ask(self, what: str) -> dict[str, Any]:
        """Ask the outside."""
        with urllib.request.urlopen(f"{self.outside}/{what}", timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def step(self) -> bool:
        """One step; returns whether all is to end."""
        told = self.ask("step")
        self.ahead = timedelta(seconds=told["ahead"])
        if deed := told.get("deed"):
            self.do(deed["what"], deed["value"])
            self.ask(f"done/{deed['number']}")
        self.scheduler.run_once()
        return bool(told["finishing"])

    def do(self, what: str, value: str) -> None:
        """What a person does; it counts once this returns."""
        if what == "add":
            self.people.add([Entry(value, comment="by hand")], source="hand", team="default", user="u")
        elif what == "remove":
            self.people.remove([value], source="hand", team="default", user="u")
        elif what == "allow":
            self.people.allow(value, reason="test", ttl=None, team="default", user="u")
        else:
            self.people.disallow(value, team="default", user="u")
        self.scheduler.changed(list(self.engine.graph.outputs), approved=True)

    def reconcile(self) -> None:
        """As a server does at its start; a far side that fails is left for later."""
        for name in FAR_SIDES:
            try:
                self.scheduler.deliveries.reconcile(name, fix=True)
            except FarSideError:
                continue

    def settled(self) -> bool:
        """Whether nothing is under way."""
        states = {name: delivery(self.engine.control, name).state for name in FAR_SIDES}
        receipts = [r.state for name in FAR_SIDES for part in scan(self.engine.control, name) for r in part]
        return set(states.values()) == {"ok"} and set(receipts) <= {ACCEPTED, WITHDRAWN}

    def report(self) -> dict[str, Any]:
        """What there is in the end."""
        outputs = {name: self.output(name) for name in self.engine.graph.outputs}
        found = verify(self.engine)
        listed, _ = list_files(self.engine).obtain("listed", DEFAULT)
        return {
            "outputs": outputs,
            "verified": {each.output: [each.differences, each.samples] for each in found},
            "listed": listed.path.read_text().split(),
            "written": (self.engine.data / "written.txt").read_text().split(),
            "receipts": {
                name: [[r.value, r.state, r.far_id] for part in scan(self.engine.control, name) for r in part]
                for name in FAR_SIDES
            },
            "spool": [path.name for path in self.engine.spool.glob("*")],
        }

    def output(self, name: str) -> dict[str, Any]:
        """What is published, and what its log says when it is played from its start."""
        number = self.engine.graph.ids[name]
        with self.engine.lake.reading() as con:
            values = [v for (v,) in con.execute(f"SELECT value FROM {published_table(number)}").fetchall()]
            log = con.execute(f"SELECT seq, op, value FROM {log_table(number)} ORDER BY seq").fetchall()
        played: set[str] = set()
        wrong = [seq for place, (seq, _, _) in enumerate(log, start=1) if seq != place]
        for seq, op, value in log:
            if (op == ADDED) == (value in played):
                wrong.append(seq)
            if op == REMOVED:
                played.discard(value)
            else:
                played.add(value)
        return {"published": values, "played": sorted(played), "wrong": wrong}


def main(configuration: str, outside: str, report: str) -> int:
    """Live; returns the exit code."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    impatient(pytest.MonkeyPatch(), attempts=lambda: 2)
    program = Program(configuration, outside)
    program.reconcile()
    rounds = 0
    while rounds < MOST_ROUNDS:
        finishing = program.step()
        rounds += finishing
        if finishing and program.settled():
            break
    Path(report).write_text(json.dumps(program.report()))
    program.scheduler.stop()
    program.engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
