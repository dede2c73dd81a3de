from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from engine.lab import Lab, hashes, impatient, laboratory
from tipline.engine import delivery_plan
from tipline.sandbox import Sandbox
from tipline.store import delivery_counts
from tipline.store.receipts import delivery


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


@pytest.fixture(params=["defender", "sentinel"])
def lab(request: pytest.FixtureRequest, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    impatient(monkeypatch)
    with laboratory(request.param, sandbox) as made:
        yield made


def counters(lab: Lab) -> tuple[int, int, int, int]:
    now = delivery(lab.control, lab.which)
    return now.sent, now.accepted, now.errors, now.deleted


def test_everything_published_is_sent_once(lab: Lab) -> None:
    lab.publish(hashes(295))
    report = lab.deliverer.cycle()
    assert (report.state, report.sent, report.accepted, report.errors) == ("ok", 295, 295, {})
    assert lab.there() == sorted(lab.published())
    assert counters(lab) == (295, 295, 0, 0)


def test_only_the_difference_travels(lab: Lab) -> None:
    first = hashes(295)
    lab.publish(first)
    lab.deliverer.cycle()
    changed = lab.publish([{"value": value, "first_seen": lab.now()} for value in first[2:]] + hashes(16, 1000))
    assert changed["changed"] == 293  # the attributes differ, but none that the far side shows
    report = lab.deliverer.cycle()
    assert (report.sent, report.accepted, report.deleted) == (16, 16, 2)
    assert lab.there() == sorted(lab.published())
    assert counters(lab) == (311, 311, 0, 2)


def test_nothing_new_makes_no_call(lab: Lab) -> None:
    lab.publish(hashes(3))
    lab.deliverer.cycle()
    before = lab.calls()
    assert lab.deliverer.cycle().state == "ok"
    assert lab.calls() == before


def test_what_came_and_went_before_it_was_sent_costs_no_call(lab: Lab) -> None:
    lab.publish(hashes(3))
    lab.deliverer.cycle()
    before = lab.calls()
    lab.publish(hashes(5))
    lab.publish(hashes(3))
    report = lab.deliverer.cycle()
    assert (report.sent, report.deleted) == (0, 0)
    assert lab.calls() == before


def test_a_pruned_log_is_compared_in_full(lab: Lab) -> None:
    lab.publish(hashes(5))
    lab.deliverer.cycle()
    lab.publish(hashes(4) + hashes(2, 100))
    lab.prune_log()
    report = lab.deliverer.cycle()
    assert report.full
    assert (report.sent, report.deleted) == (2, 1)
    assert lab.there() == sorted(lab.published())


def test_a_changed_attribute_that_is_shown_is_sent_again(lab: Lab) -> None:
    lab.publish([{"value": hashes(1)[0], "sources": ["a"], "confidence": 10}])
    lab.deliverer.cycle()
    lab.publish([{"value": hashes(1)[0], "sources": ["b"], "confidence": 90}])
    assert lab.deliverer.cycle().sent == 1
    assert len(lab.there()) == 1


def test_a_bad_item_is_parked_and_the_cursor_passes_it(lab: Lab) -> None:
    values = hashes(10)
    lab.sandbox.faults.set(fail_items_matching=values[3], fail_reason="not supported: never")
    lab.publish(values)
    report = lab.deliverer.cycle()
    assert (report.state, report.accepted, sum(report.errors.values())) == ("ok", 9, 1)
    assert "never" in next(iter(report.errors))
    receipt = lab.receipts()[values[3]]
    assert (receipt.state, receipt.holds, receipt.due) == ("parked", "no", None)
    before = lab.calls()
    lab.advance(hours=12)
    assert lab.deliverer.cycle().sent == 0  # trying again cannot help
    assert lab.calls() == before
    lab.sandbox.faults.clear()
    lab.publish([{"value": value, "sources": ["other"], "confidence": 60} for value in values])
    lab.deliverer.cycle()  # the row has changed
    assert lab.there() == sorted(values)


def test_a_parked_item_that_leaves_costs_no_call(lab: Lab) -> None:
    values = hashes(3)
    lab.sandbox.faults.set(fail_items_matching=values[0], fail_reason="invalid")
    lab.publish(values)
    lab.deliverer.cycle()
    lab.publish(values[1:])
    report = lab.deliverer.cycle()
    assert (report.sent, report.deleted) == (0, 0)
    assert values[0] not in lab.receipts() or lab.receipts()[values[0]].state == "withdrawn"


FAULTS: list[dict[str, Any]] = [
    {"throttle_every": 2},
    {"error_every": 3},
    {"drop_before_every": 2},
    {"drop_after_every": 2},
    {"error_rate": 0.5, "drop_after_rate": 0.3, "seed": 7},
    {"fail_items_every": 7, "fail_reason": "Internal error, try again", "times": None},
    {"token_seconds": 1},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: next(iter(fault)))
def test_faults_pass_and_the_far_side_ends_exact(
    fault: dict[str, Any], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, attempts=lambda: 2)
    for which in ("defender", "sentinel"):
        with laboratory(which, sandbox) as lab:
            lab.sandbox.faults.set(only=(which,), **fault)
            lab.publish(hashes(250))
            lab.deliverer.cycle()
            lab.publish(hashes(100) + hashes(150, 1000))
            lab.deliverer.cycle()
            lab.advance(minutes=5)
            lab.deliverer.cycle()
            lab.sandbox.faults.clear()
            lab.settle_all()
            assert lab.there() == sorted(lab.published())


def test_a_failing_far_side_loses_nothing_and_says_so(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, attempts=lambda: 1)
    with laboratory("sentinel", sandbox) as lab:
        lab.publish(hashes(250))
        sandbox.faults.set(only=("sentinel",), error_every=2)
        report = lab.deliverer.cycle()
        assert report.state == "failing"
        assert report.message
        assert (report.accepted, report.pending) == (100, 150)
        assert delivery(lab.control, "sentinel").state == "failing"
        sandbox.faults.clear()
        assert lab.deliverer.cycle().state == "ok"
        assert lab.there() == sorted(lab.published())


def test_stopping_leaves_the_state_for_the_next_start(lab: Lab) -> None:
    lab.publish(hashes(5))
    lab.stop.set()
    lab.sandbox.faults.set(only=(lab.which,), error_every=1, times=1)
    assert lab.deliverer.cycle().state == "stopped"
    lab.stop.clear()
    lab.settle_all()
    assert lab.there() == sorted(lab.published())


def test_without_credentials_nothing_is_called_and_the_state_says_so(lab: Lab) -> None:
    lab.restart(credentials={})
    lab.publish(hashes(5))
    report = lab.deliverer.cycle()
    assert (report.state, report.planned) == ("needs credentials", 5)
    assert "credentials.client_secret" in report.message
    assert lab.calls() == {}
    assert lab.deliverer.cycle().state == "needs credentials"
    lab.restart(credentials=lab.credentials())
    assert lab.deliverer.cycle().accepted == 5


def test_shadow_plans_and_writes_nothing(lab: Lab) -> None:
    lab.restart(mode="shadow")
    lab.publish(hashes(5))
    report = lab.deliverer.cycle()
    assert (report.state, report.planned, report.sent) == ("shadow", 5, 0)
    assert "would send 5" in report.message
    assert lab.deliverer.cycle().message == report.message
    assert lab.receipts() == {}
    assert lab.there() == []
    lab.restart(mode="live")
    assert lab.deliverer.cycle().accepted == 5


def test_an_item_is_refreshed_before_the_far_side_forgets_it(lab: Lab) -> None:
    lab.publish(hashes(5))
    lab.deliverer.cycle()
    lab.advance(days=10)
    assert lab.deliverer.cycle().sent == 0
    lab.advance(days=16)
    assert lab.deliverer.cycle().sent == 5
    lab.advance(days=10)
    assert lab.there() == sorted(lab.published())


def test_never_past_the_indicators_own_end(lab: Lab) -> None:
    end = lab.now() + timedelta(days=3)
    lab.publish([{"value": hashes(1)[0], "valid_until": end}])
    lab.deliverer.cycle()
    receipt = lab.receipts()[hashes(1)[0]]
    assert (receipt.expires, receipt.due) == (end, None)
    lab.advance(days=4)
    assert lab.there() == []
    lab.publish([])
    before = lab.calls()
    lab.deliverer.cycle()
    assert lab.calls() == before  # it lapsed by itself


def test_settings_that_cannot_work_are_told_in_the_state(lab: Lab) -> None:
    lab.publish(hashes(1))
    lab.restart(credentials={**lab.credentials(), "ca_file": "nowhere.pem"})
    report = lab.deliverer.cycle()
    assert report.state == "failing"
    assert "ca_file" in report.message
    lab.restart(credentials=lab.credentials())
    assert lab.deliverer.cycle().accepted == 1


def test_a_backlog_goes_in_cycles(lab: Lab) -> None:
    lab.publish(hashes(45))
    lab.deliverer.far.cycle_limit = lab.deliverer.far.send_batch = 1
    reports = [lab.deliverer.cycle() for _ in range(3)]
    assert [report.state for report in reports] == ["pending", "pending", "ok"]
    assert [report.sent for report in reports] == [20, 20, 5]
    assert lab.there() == sorted(lab.published())


def test_of_a_long_plan_the_first_are_sent_and_the_others_counted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_plan, "MOST", 7)
    values = hashes(16)
    lab.publish([{"value": value, "confidence": 30 + number} for number, value in enumerate(values)])
    reports, order = [], []
    for _ in range(3):
        reports.append(lab.deliverer.cycle())
        order.append({value for value, receipt in lab.receipts().items() if receipt.state == "accepted"})
    assert [(report.planned, report.sent, report.state) for report in reports] == [
        (16, 7, "pending"),
        (9, 7, "pending"),
        (2, 2, "ok"),
    ]
    assert order[0] == set(values[-7:])
    lab.publish([])
    report = lab.deliverer.cycle()
    assert (report.deleted, lab.there()) == (16, [])


def test_a_withdrawal_does_not_wait_for_a_backlog(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    values = hashes(50)
    lab.publish(values)
    far = lab.deliverer.far
    far.cycle_limit = far.send_batch = 10
    send = far.send

    def and_then_it_is_allowed(parcels: Any) -> Any:
        lab.publish([value for value in lab.published() if value != parcels[0].value])
        return send(parcels)

    with monkeypatch.context() as patch:
        patch.setattr(far, "send", and_then_it_is_allowed)
        report = lab.deliverer.cycle()
    assert (report.state, report.sent) == ("pending", 10)
    far.cycle_limit = 1000
    report = lab.deliverer.cycle()
    assert (report.state, report.deleted, report.sent) == ("ok", 1, 40)
    assert lab.there() == sorted(lab.published())


def test_both_ways_of_what_nobody_knows(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    options: dict[str, list[Any]] = {
        "defender": [
            {"quota_import": "whole-call"},
            {"batch_delete_404": "others-deleted"},
            {"import_failed_id": "omitted"},
        ],
        "sentinel": [{"none_valid": "accepted"}, {"retry_after": "present"}, {"identical_upload": "ignored"}],
    }
    for which, choices in options.items():
        for choice in choices:
            sandbox.behaviour.change(**choice)
            with laboratory(which, sandbox) as lab:
                lab.publish(hashes(20))
                lab.deliverer.cycle()
                lab.publish(hashes(10) + hashes(5, 50))
                lab.deliverer.cycle()
                assert lab.there() == sorted(lab.published())
                lab.publish([])
                lab.deliverer.cycle()
                assert lab.there() == []


def test_what_was_done_is_kept_over_time(lab: Lab) -> None:
    values = hashes(12)
    lab.sandbox.faults.set(fail_items_matching=values[0], fail_reason="never")
    lab.publish(values)
    lab.deliverer.cycle()
    lab.sandbox.faults.clear()
    lab.advance(hours=2)
    lab.publish(values[3:])
    lab.deliverer.cycle()
    found = delivery_counts.since(lab.control, [lab.which], lab.now() - timedelta(days=1))
    totals = [sum(column) for column in zip(*(numbers for _, numbers in found), strict=True)]
    # What Defender refused without saying for good may be there, so it is taken back, too.
    deleted = {"defender": 3, "sentinel": 2}[lab.which]
    assert totals == list(counters(lab)) == [12, 11, 1, deleted]
    assert len(found) == 2
    assert all((at.minute % 5, at.second) == (0, 0) for at, _ in found)
    delivery_counts.prune(lab.control, lab.now() - timedelta(hours=1))
    assert len(delivery_counts.since(lab.control, [lab.which], lab.now() - timedelta(days=1))) == 1
