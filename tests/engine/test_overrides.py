"""Overrides: single indicators at a far side are as people want them, whatever polls and reconciling do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine.lab import Killed, Lab, hashes, impatient, laboratory
from tipline.engine.reconcile import reconcile
from tipline.model.keys import key
from tipline.outputs.defender_side import DefenderSide
from tipline.sandbox import Sandbox
from tipline.store import overrides
from tipline.store.overrides import Override

DOMAIN, URL = "bad.com", "https://www.bad.com/x"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


@pytest.fixture
def lab(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    impatient(monkeypatch)
    with laboratory("defender", sandbox) as made:
        yield made
        sandbox.advance(-made.ahead.total_seconds())
        for row in sandbox.defender_indicators():
            sandbox.portal_delete(row["id"])


def wish(value: str, type_: str = "sha256", **changes: Any) -> Override:
    return Override(key(type_, value).hex, type_, value, reason="ticket 1", actor="ann", **changes)


def put(lab: Lab, wanted: Override) -> None:
    with lab.control.transaction() as con:
        overrides.put(con, lab.which, replace(wanted, at=lab.now()))


def drop(lab: Lab, wanted: Override) -> None:
    with lab.control.transaction() as con:
        overrides.drop(con, lab.which, wanted.key)


def far(lab: Lab) -> dict[str, dict[str, Any]]:
    return {row["indicatorValue"]: row for row in lab.sandbox.defender_indicators()}


def words(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["action"], row["severity"], row["title"]


def test_an_override_replaces_the_item_and_survives_what_feeds_say(lab: Lab) -> None:
    first, second = hashes(2)
    lab.publish([first, second])
    lab.deliverer.cycle()
    before = far(lab)
    put(lab, wish(first, action="Block", severity="High", title="ours"))
    report = lab.deliverer.cycle()
    assert (report.full, report.deleted, report.accepted) == (True, 1, 1)
    assert words(far(lab)[first]) == ("Block", "High", "ours")
    assert far(lab)[first]["id"] != before[first]["id"]
    assert far(lab)[second] == before[second]
    lab.publish([{"value": value, "sources": ["another"], "confidence": 90} for value in (first, second)])
    lab.deliverer.cycle()
    assert words(far(lab)[first]) == ("Block", "High", "ours")
    assert lab.deliverer.cycle().sent == 0
    assert reconcile(lab.deliverer, fix=True).state == "clean"


def test_a_severity_is_an_update_in_place_and_taken_back_with_the_override(lab: Lab) -> None:
    lab.publish(hashes(1))
    lab.deliverer.cycle()
    before = far(lab)[hashes(1)[0]]
    put(lab, wish(hashes(1)[0], severity="High"))
    report = lab.deliverer.cycle()
    assert (report.deleted, report.accepted) == (0, 1)
    assert far(lab)[hashes(1)[0]] | {"severity": "", "lastUpdateTime": ""} == before | {
        "severity": "", "lastUpdateTime": "", "expirationTime": far(lab)[hashes(1)[0]]["expirationTime"],
    }  # fmt: skip
    drop(lab, wish(hashes(1)[0]))
    lab.deliverer.cycle()
    assert words(far(lab)[hashes(1)[0]]) == words(before)


def test_an_override_ends_by_itself(lab: Lab) -> None:
    (value,) = hashes(1)
    lab.publish([value])
    put(lab, wish(value, action="Block", until=lab.now() + timedelta(hours=1)))
    lab.deliverer.cycle()
    assert far(lab)[value]["action"] == "Block"
    lab.advance(hours=2)
    report = lab.deliverer.cycle()
    assert (report.deleted, report.accepted) == (1, 1)
    assert far(lab)[value]["action"] == "Audit"
    assert reconcile(lab.deliverer).state == "clean"


def test_it_waits_for_an_indicator_that_leaves_and_returns(lab: Lab) -> None:
    (value,) = hashes(1)
    lab.publish([value])
    put(lab, wish(value, severity="Medium"))
    lab.deliverer.cycle()
    lab.publish([])
    lab.deliverer.cycle()
    assert lab.there() == []
    lab.publish([value])
    lab.deliverer.cycle()
    assert far(lab)[value]["severity"] == "Medium"


def test_an_end_that_people_set_is_exact_and_not_refreshed_over(lab: Lab) -> None:
    (value,) = hashes(1)
    end = (lab.now() + timedelta(days=60)).replace(microsecond=0)
    lab.publish([{"value": value, "valid_until": lab.now() + timedelta(days=5)}])
    put(lab, wish(value, expires=end))
    lab.deliverer.cycle()
    receipt = lab.receipts()[value]
    assert (receipt.expires, receipt.due) == (end, None)
    assert far(lab)[value]["expirationTime"].startswith(end.isoformat())
    assert reconcile(lab.deliverer).state == "clean"
    lab.advance(days=61)
    assert lab.there() == []
    lab.publish([value])
    assert lab.deliverer.cycle().waiting == {"ended": 1}
    assert lab.there() == []
    drop(lab, wish(value))
    assert lab.deliverer.cycle().accepted == 1


def test_a_url_that_people_block_is_not_covered_by_a_domain_that_only_alerts(lab: Lab) -> None:
    lab.publish([DOMAIN, URL])
    lab.deliverer.cycle()
    assert lab.there() == [DOMAIN]
    put(lab, wish(URL, "url", action="Block"))
    lab.deliverer.cycle()
    assert far(lab)[URL]["action"] == "Block"
    put(lab, wish(DOMAIN, "domain", action="Block"))
    lab.deliverer.cycle()
    assert lab.there() == [DOMAIN]
    put(lab, wish(DOMAIN, "domain", action="Allowed"))
    lab.deliverer.cycle()
    assert lab.there() == [DOMAIN, URL]


def test_what_defender_refused_is_tried_again_once_it_is_to_be_otherwise(lab: Lab) -> None:
    (value,) = hashes(1)
    lab.sandbox.faults.set(fail_items_matching=value, fail_reason="not supported")
    lab.publish([value])
    lab.deliverer.cycle()
    lab.sandbox.faults.clear()
    assert lab.deliverer.cycle().sent == 0
    put(lab, wish(value, severity="Low"))
    assert lab.deliverer.cycle().accepted == 1


def test_in_shadow_mode_nothing_is_written_and_the_plan_tells(lab: Lab) -> None:
    lab.publish(hashes(2))
    lab.deliverer.cycle()
    lab.restart(mode="shadow")
    lab.deliverer.cycle()
    put(lab, wish(hashes(1)[0], severity="High"))
    assert lab.deliverer.cycle().message == "would send 1 and withdraw 0; nothing was written"
    assert far(lab)[hashes(1)[0]]["severity"] == "Informational"


# ---- incremental = full, whatever happens ----------------------------------------------------------------------------

VALUES = [*hashes(5), DOMAIN, "worse.net"]
ACTIONS: list[str | None] = [None, "Audit", "Warn", "Block", "Allowed"]


class History:
    """Random publishing, overriding, time and trouble; the far side must end as a fresh evaluation says."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.random = random.Random(seed)
        self.published: dict[str, dict[str, Any]] = {}

    def step(self) -> str:
        actions = [self.publish, self.publish, self.wish, self.wish, self.wish, self.drop, self.wait]
        actions += [self.cycle, self.cycle, self.interrupted, self.reconciled, self.restart, self.edited]
        action = self.random.choice(actions)
        action()
        return action.__name__

    def publish(self) -> None:
        some = self.random.sample(VALUES, self.random.randrange(len(VALUES)))
        sources = [["a"], ["b"], ["a", "b"]]
        self.published = {
            value: {"value": value, "sources": self.random.choice(sources), "confidence": self.random.randrange(100)}
            for value in some
        }
        self.lab.publish(self.published.values())

    def wish(self) -> None:
        value, pick = self.random.choice(VALUES), self.random.random
        hours = self.random.randrange(1, 60)
        put(
            self.lab,
            wish(
                value, type_of(value),
                action=self.random.choice(ACTIONS),
                severity=self.random.choice([None, "Low", "High"]),
                title=self.random.choice([None, "by hand"]),
                expires=(self.lab.now() + timedelta(hours=hours)).replace(microsecond=0) if pick() < 0.3 else None,
                until=self.lab.now() + timedelta(hours=hours / 2) if pick() < 0.4 else None,
            ),
        )  # fmt: skip

    def drop(self) -> None:
        value = self.random.choice(VALUES)
        drop(self.lab, wish(value, type_of(value)))

    def wait(self) -> None:
        self.lab.advance(hours=self.random.randrange(1, 30))

    def cycle(self) -> None:
        self.lab.deliverer.cycle()

    def interrupted(self) -> None:
        """The process dies between a call and its receipts."""
        real = DefenderSide.send

        def dies(*arguments: Any) -> Any:
            real(*arguments)
            raise Killed

        with pytest.MonkeyPatch.context() as patch, suppress(Killed):
            patch.setattr(DefenderSide, "send", dies)
            self.lab.deliverer.cycle()
        self.lab.restart()

    def reconciled(self) -> None:
        reconcile(self.lab.deliverer, fix=True)

    def restart(self) -> None:
        self.lab.restart(
            action=self.random.choice(["Audit", "Block"]), title=self.random.choice(["one", "two {sources}"])
        )

    def edited(self) -> None:
        """Somebody changes or deletes an item in the portal."""
        rows = self.lab.sandbox.defender_indicators()
        if rows:
            row = self.random.choice(rows)
            if self.random.random() < 0.5:
                self.lab.sandbox.portal_edit(row["id"], severity="Medium")
            else:
                self.lab.sandbox.portal_delete(row["id"])

    def expected(self) -> dict[str, tuple[str, str, str]]:
        """From the settings, the published set and the overrides, without any of the engine."""
        options, now = self.lab.options, self.lab.now()
        wanted: dict[str, tuple[str, str, str]] = {}
        for value, spec in self.published.items():
            mine = overrides.one(self.lab.control, "defender", key(type_of(value), value).hex)
            if mine is None or (mine.until is not None and mine.until <= now):
                mine = wish(value)
            if mine.expires is not None and mine.expires <= now:
                continue
            title = options["title"].format(sources=", ".join(spec["sources"]))
            wanted[value] = (mine.action or options["action"], mine.severity or "Informational", mine.title or title)
        return wanted


def type_of(value: str) -> str:
    return "domain" if "." in value else "sha256"


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_far_side_ends_as_evaluated_from_scratch(lab: Lab, seed: int) -> None:
    lab.restart(action="Audit", title="one")
    history = History(lab, seed)
    trail = [history.step() for _ in range(25)]
    reconcile(lab.deliverer, fix=True)
    lab.settle_all()
    assert {value: words(row) for value, row in far(lab).items()} == history.expected(), (seed, trail)
    assert reconcile(lab.deliverer).state == "clean", (seed, trail)
    with closing(lab.lake.connection()) as con:
        assert lab.deliverer.plan_in_full(con).counts == {}, (seed, trail)


def test_what_the_plan_is_given_of_an_override_comes_back_whole() -> None:
    wanted = wish(DOMAIN, "domain", action="Block", title="a 'b' \"c\"", expires=datetime(2026, 1, 1, 12))  # noqa: DTZ001
    again = Override.of_json(wanted.as_json())
    assert again == replace(wanted, reason="", actor="")
    assert again.mark == wanted.mark != wish(DOMAIN, "domain").mark
