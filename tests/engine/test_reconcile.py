from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.lab import Lab, hashes, impatient, laboratory
from tipline.engine.reconcile import reconcile
from tipline.sandbox import Sandbox
from tipline.store.control import RECEIPTS
from tipline.store.receipts import delivery


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


@pytest.fixture
def lab(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    impatient(monkeypatch)
    with laboratory("defender", sandbox) as made:
        yield made


@pytest.fixture
def readable(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    impatient(monkeypatch)
    with laboratory("sentinel", sandbox) as made:
        made.restart(**made.arm())
        yield made


def ids(lab: Lab) -> dict[str, str]:
    return {row["indicatorValue"]: row["id"] for row in lab.sandbox.defender_indicators()}


def test_a_far_side_that_agrees_is_clean(lab: Lab) -> None:
    lab.publish([*hashes(5), "bad.com", "2001:4860:4860::8888"])
    lab.deliverer.cycle()
    report = reconcile(lab.deliverer)
    assert (report.state, report.checked, report.drift) == ("clean", 7, 0)
    assert delivery(lab.control, "defender").last_reconcile is not None


def test_what_a_person_deleted_is_missing_and_sent_again(lab: Lab) -> None:
    lab.publish(hashes(5))
    lab.deliverer.cycle()
    gone = hashes(5)[2]
    lab.sandbox.portal_delete(ids(lab)[gone])
    report = reconcile(lab.deliverer)
    assert (report.state, report.missing.count, report.missing.samples[0]["value"]) == ("drift", 1, gone)
    lab.deliverer.cycle()
    assert gone not in lab.there()  # only shown
    assert reconcile(lab.deliverer, fix=True).fixed == {"to send again": 1, "deleted": 0}
    lab.deliverer.cycle()
    assert lab.there() == sorted(hashes(5))
    assert reconcile(lab.deliverer).state == "clean"


def test_what_a_person_changed_is_told_by_field_and_set_right(lab: Lab) -> None:
    lab.publish(hashes(5))
    lab.deliverer.cycle()
    lab.sandbox.portal_edit(ids(lab)[hashes(5)[0]], title="mine", severity="High")
    lab.sandbox.portal_edit(ids(lab)[hashes(5)[1]], action="Block")
    report = reconcile(lab.deliverer, fix=True)
    whys = {sample["value"]: sample["why"] for sample in report.different.samples}
    assert whys[hashes(5)[0]] == "other title, severity"
    assert "identity" in whys[hashes(5)[1]]
    lab.deliverer.cycle()
    assert lab.there() == sorted(hashes(5))
    assert {row["action"] for row in lab.sandbox.defender_indicators()} == {"Audit"}
    assert reconcile(lab.deliverer).state == "clean"


def test_without_receipts_what_is_ours_is_found_again(lab: Lab) -> None:
    lab.publish(hashes(5))
    lab.deliverer.cycle()
    before = ids(lab)
    with lab.control.transaction() as con:
        con.execute(RECEIPTS.delete())
    lab.publish(hashes(4))
    report = reconcile(lab.deliverer, fix=True)
    assert (report.extra.count, report.different.count) == (1, 4)
    lab.deliverer.cycle()
    assert ids(lab) == {value: before[value] for value in hashes(4)}
    assert reconcile(lab.deliverer).state == "clean"


def test_others_are_counted_shown_and_left_alone(lab: Lab) -> None:
    lab.publish(["bad.com", *hashes(2)])
    lab.sandbox.portal_add("bad.com", "DomainName", "Allowed")
    lab.sandbox.portal_add("other.com", "DomainName", "Allowed")
    lab.deliverer.cycle()
    report = reconcile(lab.deliverer, fix=True)
    assert (report.state, report.foreign.count) == ("clean", 2)
    assert [sample["value"] for sample in report.foreign_allowed.samples] == ["bad.com"]
    assert delivery(lab.control, "defender").detail["foreign"] == 2
    assert "other.com" in lab.there()


def test_others_leave_fewer_slots(lab: Lab) -> None:
    lab.restart(capacity=4)
    for number in range(3):
        lab.sandbox.portal_add(f"other{number}.com", "DomainName")
    reconcile(lab.deliverer)
    lab.publish(hashes(5))
    report = lab.deliverer.cycle()
    assert (report.accepted, report.waiting) == (1, {"no-slot": 4})


def test_another_output_of_ours_is_not_ours_here(lab: Lab) -> None:
    lab.publish(hashes(2))
    lab.deliverer.cycle()
    lab.instance = "elsewhere"
    lab.restart()
    report = reconcile(lab.deliverer)
    assert (report.foreign.count, report.missing.count) == (2, 2)


def test_a_far_side_that_cannot_be_read_is_never_green(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    with laboratory("sentinel", sandbox) as lab:
        lab.publish(hashes(2))
        lab.deliverer.cycle()
        assert reconcile(lab.deliverer).state == "unverifiable"
        assert delivery(lab.control, "sentinel").last_reconcile is None


def test_a_far_side_that_fails_is_told(lab: Lab) -> None:
    lab.publish(hashes(2))
    lab.deliverer.cycle()
    lab.sandbox.faults.set(only=("defender.list",), error_every=1)
    report = reconcile(lab.deliverer, fix=True)
    assert report.state == "failed"
    assert report.message
    assert len(lab.receipts()) == 2


def test_without_credentials_it_is_skipped(lab: Lab) -> None:
    lab.restart(credentials={})
    assert reconcile(lab.deliverer).state == "skipped"


def test_sentinel_is_read_back(readable: Lab) -> None:
    lab = readable
    lab.publish([*hashes(3), "bad.com", "8.8.8.8"])
    lab.deliverer.cycle()
    lab.publish([*hashes(2), "bad.com", "8.8.8.8"])
    lab.deliverer.cycle()
    lab.advance(minutes=20)
    report = reconcile(lab.deliverer)
    assert (report.state, report.checked) == ("clean", 4)


def test_sentinel_sends_again_what_was_deleted_or_revoked_there(readable: Lab) -> None:
    lab = readable
    lab.publish(["bad.com", "worse.com", "third.com"])
    lab.deliverer.cycle()
    lab.advance(minutes=20)
    items = {item.value: item for item in lab.deliverer.far.listing(lab.now()) or ()}
    lab.deliverer.far.erase([items["bad.com"]])
    receipt = lab.receipts()["worse.com"]
    parcel = lab.deliverer.far.pack_withdrawal(receipt, lab.now(), false_positive=True)
    lab.deliverer.far.withdraw([parcel])
    report = reconcile(lab.deliverer, fix=True)
    assert report.missing.count == 2
    lab.deliverer.cycle()
    assert lab.there() == ["bad.com", "third.com", "worse.com"]
    assert lab.receipts()["worse.com"].generation == 1


def test_what_was_just_accepted_may_not_show_yet(readable: Lab) -> None:
    lab = readable
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    item = next(iter(lab.deliverer.far.listing(lab.now()) or ()))
    lab.deliverer.far.erase([item])
    assert reconcile(lab.deliverer).missing.count == 0
    lab.advance(minutes=11)
    assert reconcile(lab.deliverer).missing.count == 1


def test_what_somebody_else_made_is_changed_and_never_deleted(lab: Lab) -> None:
    lab.sandbox.portal_add("bad.com", "DomainName")
    lab.publish(["bad.com"])
    lab.deliverer.cycle()  # Defender updates the one that is there
    assert lab.there() == ["bad.com"]
    report = reconcile(lab.deliverer)
    assert (report.state, report.foreign.count) == ("clean", 1)
    lab.publish([])
    lab.deliverer.cycle()
    assert lab.there() == ["bad.com"]
    assert lab.receipts() == {}
