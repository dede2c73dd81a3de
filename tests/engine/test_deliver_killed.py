"""The process dies at every point of a delivery; the next one ends exact, with nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.lab import Killed, Lab, hashes, impatient, laboratory
from tipline.engine import deliver
from tipline.sandbox import Sandbox

MOST = 60  # points at which a step may die; a step that has fewer ends the loop


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


class Reaper:
    """Counts the points of a delivery and dies at one of them."""

    def __init__(self) -> None:
        self.at = -1
        self.count = 0

    def point(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Killed

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.point()  # before the work
            result = work(*args, **kwargs)
            self.point()  # the work is done, its result is lost
            return result

        return wrapped


def arm(lab: Lab, reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points around every call of the far side and every write of receipts."""
    for name in ("send", "withdraw"):
        monkeypatch.setattr(lab.deliverer.far, name, reaper.around(getattr(lab.deliverer.far, name)))


def run_until_killed(lab: Lab, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """One cycle that dies at a point; whether it did."""
    reaper = Reaper()
    reaper.at = at
    with monkeypatch.context() as patch:
        arm(lab, reaper, patch)
        patch.setattr(deliver, "put", reaper.around(deliver.put))
        patch.setattr(deliver, "note", reaper.around(deliver.note))
        try:
            lab.deliverer.cycle()
        except Killed:
            return True
    return False


STEPS: dict[str, Callable[[Lab], None]] = {
    "add": lambda lab: _publish(lab, 0, 25),
    "exchange": lambda lab: _publish(lab, 10, 25),
    "change": lambda lab: _publish(lab, 10, 25, confidence=90, sources=["other"]),
    "allow": lambda lab: _publish(lab, 20, 15, reason="allowed by allowed: x"),
    "return": lambda lab: _publish(lab, 10, 25),
}


def _publish(lab: Lab, start: int, count: int, *, reason: str | None = None, **more: Any) -> None:
    lab.publish([{"value": value, **more} for value in hashes(count, start)], reason=reason)


@pytest.mark.parametrize("which", ["defender", "sentinel"])
@pytest.mark.parametrize("upto", range(2, len(STEPS) + 1), ids=list(STEPS)[1:])
def test_killed_anywhere(which: str, upto: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    steps = list(STEPS.values())[:upto]
    for at in range(1, MOST):
        with laboratory(which, sandbox) as lab:
            lab.instance = f"kill{upto}-{at}"
            lab.restart()
            for step in steps[:-1]:
                step(lab)
                lab.deliverer.cycle()
            steps[-1](lab)
            if upto == 2:  # several batches
                lab.deliverer.far.send_batch = lab.deliverer.far.withdraw_batch = 8
            killed = run_until_killed(lab, at, monkeypatch)
            lab.restart()
            lab.settle_all()
            assert lab.there() == sorted(lab.published()), at
            lab.publish([])
            lab.settle_all()
            assert lab.there() == []
        if not killed:
            break


def test_killed_and_what_was_being_sent_is_no_longer_wanted(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    for which in ("defender", "sentinel"):
        for count in (3, 20):
            with laboratory(which, sandbox) as lab:
                lab.publish(hashes(count))
                reaper = Reaper()
                reaper.at = 2  # done, and the answer is lost
                with monkeypatch.context() as patch:
                    arm(lab, reaper, patch)
                    with pytest.raises(Killed):
                        lab.deliverer.cycle()
                assert len(lab.there()) == count
                lab.publish([])
                lab.restart()
                lab.deliverer.cycle()
                assert lab.there() == []


def test_killed_while_the_action_changes(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    for at in range(1, MOST):
        with laboratory("defender", sandbox) as lab:
            lab.publish(hashes(5))
            lab.deliverer.cycle()
            lab.restart(action="Block")
            killed = run_until_killed(lab, at, monkeypatch)
            lab.restart(action="Warn")
            lab.settle_all()
            assert lab.there() == sorted(lab.published())
            assert {row["action"] for row in sandbox.defender_indicators()} == {"Warn"}
            lab.publish([])
            lab.settle_all()
            assert lab.there() == []
        if not killed:
            break
