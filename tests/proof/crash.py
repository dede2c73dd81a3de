"""Kills the program at random moments, and holds everything against everything at the end.

    cd tests && python -m proof.crash --kills 1000 --seed 1

runs a thousand kills (an hour or two on two cores) and prints one line a kill; the test suite runs
`TIPLINE_CRASH_KILLS` of them (12 unless set). The program polls feeds that change at every step, is told to
add, remove and allow values by hand, and delivers to the stand-in, which refuses, fails, and drops
connections before and after the work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proof.world import Outside, serving
from tipline.sandbox import Sandbox

TESTS = Path(__file__).resolve().parents[1]
FAULTS = {"throttle_rate": 0.06, "error_rate": 0.06, "drop_before_rate": 0.06, "drop_after_rate": 0.1}
LONGEST_LIFE = 36  # calls to feeds and far sides until the kill; a round makes about a dozen
LONGEST_DELAY = 0.4  # seconds from the last of these calls to the kill, so that it also falls between calls
START_SECONDS = 120
FINISH_SECONDS = 300


class Crash:
    """One program, killed and started again."""

    def __init__(self, outside: Outside, configuration: Path, url: str, seed: int) -> None:
        self.outside = outside
        self.random = random.Random(seed)
        self.report = configuration.with_name("report.json")
        self.command = [
            sys.executable,
            str(TESTS / "proof" / "child.py"),
            str(configuration),
            url,
            str(self.report),
        ]
        paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def start(self) -> subprocess.Popen[bytes]:
        """The program's next life."""
        return subprocess.Popen(self.command, env=self.environment, stderr=subprocess.PIPE)

    def kill(self) -> int:
        """One life that ends at a random moment; returns how many calls it made.

        Raises:
            AssertionError: the program ended by itself, or a far side shows something twice.
        """
        calls = self.random.randint(1, LONGEST_LIFE)
        delay = self.random.uniform(0, LONGEST_DELAY)
        process = self.start()
        try:
            assert self.outside.await_events(calls, START_SECONDS), "the program does nothing"
            process.wait(delay)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            _, errors = process.communicate()
        assert process.returncode == -9, errors.decode()
        assert self.outside.twice() == []
        return calls

    def finish(self) -> dict[str, Any]:
        """The last life, which ends by itself when nothing is left to do; returns its report."""
        self.outside.sandbox.faults.clear()
        self.outside.finishing = True
        process = self.start()
        try:
            _, errors = process.communicate(timeout=FINISH_SECONDS)
        finally:
            process.kill()
        assert process.returncode == 0, errors.decode()
        found: dict[str, Any] = json.loads(self.report.read_text())
        return found


def run(kills: int, seed: int, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Kill so many times, then let it finish and compare; returns what was seen.

    Raises:
        AssertionError: something was lost, was there twice, or does not agree.
    """
    with tempfile.TemporaryDirectory(prefix="crash-") as place, Sandbox(rate_limits=False) as sandbox:
        sandbox.faults.set(**FAULTS, retry_after=1, only=("defender", "sentinel"), seed=seed)
        outside = Outside(sandbox, seed)
        with serving(outside) as url:
            crash = Crash(outside, outside.write_configuration(Path(place), url), url, seed)
            for number in range(1, kills + 1):
                calls = crash.kill()
                say(f"kill {number} of {kills}: after {calls} calls; {outside.steps} steps in all")
            report = crash.finish()
        agree(outside, report)
        calls = sandbox.state()["calls"]
        return {
            "kills": kills,
            "seed": seed,
            "steps": outside.steps,
            "deeds": len(outside.deeds),
            "published": len(report["listed"]),
            "faults": dict(sandbox.faults.struck),
            "imports": calls["defender.import"]["total"],
            "uploads": calls["sentinel.upload"]["total"],
        }


def agree(outside: Outside, report: dict[str, Any]) -> None:
    """Lists, files, published sets, logs, receipts, far sides, and what feeds and people said, all agree."""
    must, may = outside.expected()
    published = set(report["outputs"]["listed"]["published"])
    assert must <= published <= may, {"lost": must - published, "too much": published - may}
    for name, output in report["outputs"].items():
        assert output["wrong"] == [], f"the log of {name}"
        assert len(output["published"]) == len(set(output["published"])), f"{name} has rows twice"
        assert sorted(output["published"]) == output["played"] == sorted(published), name
        assert report["verified"][name][0] == 0, report["verified"][name]
    assert sorted(report["listed"]) == sorted(published)
    assert sorted(report["written"]) == sorted(published)
    defender = outside.sandbox.defender_indicators()
    _same([item["indicatorValue"] for item in defender], published - _covered(published), "defender")
    active = [each for each in outside.sandbox.sentinel_objects() if each["active"]]
    _same([_value(each["data"]["pattern"]) for each in active], published, "sentinel")
    assert outside.twice() == []
    for name, there in (
        ("defender", {str(i["id"]) for i in defender}),
        ("sentinel", {o["data"]["id"] for o in active}),
    ):
        accepted = {far_id for _, state, far_id in report["receipts"][name] if state == "accepted"}
        assert accepted == there, {name: {"no receipt": there - accepted, "not there": accepted - there}}
    assert report["spool"] == [], "what a poll left behind"


def _covered(published: set[str]) -> set[str]:
    """URLs whose host is published too: Defender's slot for the domain covers them."""
    return {value for value in published if value.startswith("http") and value.split("/")[2] in published}


def _same(there: list[str], published: set[str], where: str) -> None:
    missing, more = sorted(published - set(there)), sorted(set(there) - published)
    assert sorted(there) == sorted(published), {"where": where, "missing": missing, "too much": more}


def _value(pattern: str) -> str:
    """The value in a STIX pattern."""
    return pattern.partition(" = '")[2].removesuffix("']")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Kill the program at random moments and compare everything.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    print(json.dumps(run(chosen.kills, chosen.seed, lambda line: print(line, flush=True))))


if __name__ == "__main__":
    main()
