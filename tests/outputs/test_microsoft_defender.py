from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from engine.lab import Lab, hashes, impatient, laboratory
from tipline.outputs.microsoft_defender import DefenderSettings, MicrosoftDefender
from tipline.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


@pytest.fixture
def lab(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    impatient(monkeypatch)
    with laboratory("defender", sandbox) as made:
        yield made
        for row in sandbox.defender_indicators():
            sandbox.portal_delete(row["id"])


def settings(**values: Any) -> DefenderSettings:
    return DefenderSettings.model_validate({"kind": "microsoft-defender", "inputs": ["x"], **values})


def node(**values: Any) -> MicrosoftDefender:
    return MicrosoftDefender("defender", settings(**values))


def far(lab: Lab) -> dict[str, dict[str, Any]]:
    return {row["indicatorValue"]: row for row in lab.sandbox.defender_indicators()}


def test_an_indicator_by_default(lab: Lab) -> None:
    lab.publish([{"value": "123.123.123.123", "sources": ["local"]}])
    lab.deliverer.cycle()
    row = far(lab)["123.123.123.123"]
    assert row["title"] == "tipline - 123.123.123.123"
    assert row["description"] == "IpAddress indicator from local"
    assert (row["action"], row["severity"], row["generateAlert"]) == ("Audit", "Informational", True)
    assert row["externalId"].startswith("tipline:test:defender:")
    assert row["createdBy"] == lab.sandbox.client_id
    assert lab.receipts()["123.123.123.123"].far_id == row["id"]


def test_small_networks_become_addresses_and_the_rest_has_a_reason(lab: Lab) -> None:
    lab.publish(["8.8.8.0/30", "8.8.8.1", "9.9.0.0/16", "10.1.2.3", "2001:4860:4860::8888", "d" * 32])
    lab.deliverer.cycle()
    assert lab.there() == ["2001:4860:4860:0:0:0:0:8888", "8.8.8.0", "8.8.8.1", "8.8.8.2", "8.8.8.3"]
    assert "2001:4860:4860::8888" in lab.published()


def test_a_range_is_expanded_and_leaves_whole(lab: Lab) -> None:
    lab.publish(["8.8.8.250-8.8.9.3"])
    lab.deliverer.cycle()
    assert len(lab.there()) == 10
    lab.publish(["8.8.8.255"])
    lab.deliverer.cycle()
    assert lab.there() == ["8.8.8.255"]


def test_a_change_of_action_is_a_delete_and_a_create(lab: Lab) -> None:
    lab.publish(hashes(3))
    lab.deliverer.cycle()
    before = {row["id"] for row in far(lab).values()}
    lab.restart(action_by_type={"sha256": "BlockAndRemediate"})
    report = lab.deliverer.cycle()
    assert (report.deleted, report.accepted) == (3, 3)
    assert {row["action"] for row in far(lab).values()} == {"BlockAndRemediate"}
    assert not before & {row["id"] for row in far(lab).values()}


def test_other_texts_are_an_update_in_place(lab: Lab) -> None:
    lab.publish(hashes(3))
    lab.deliverer.cycle()
    before = {row["id"] for row in far(lab).values()}
    lab.restart(title="seen by {sources}")
    report = lab.deliverer.cycle()
    assert (report.full, report.deleted, report.accepted) == (True, 0, 3)
    assert {row["title"] for row in far(lab).values()} == {"seen by feed"}
    assert before == {row["id"] for row in far(lab).values()}


def test_another_instance_name_is_an_update_in_place(lab: Lab) -> None:
    lab.publish(hashes(3))
    lab.deliverer.cycle()
    lab.instance = "renamed"
    lab.restart()
    assert lab.deliverer.cycle().sent == 3
    assert len(far(lab)) == 3
    assert all(row["externalId"].startswith("tipline:renamed:") for row in far(lab).values())


def test_device_groups_and_severity_by_confidence(lab: Lab) -> None:
    lab.restart(rbac_groups=["Servers"], severity={0: "Low", 75: "High"}, recommended_actions="Isolate")
    low, high = hashes(2)
    lab.publish([{"value": low, "confidence": 74}, {"value": high, "confidence": 75}])
    lab.deliverer.cycle()
    assert (far(lab)[low]["severity"], far(lab)[high]["severity"]) == ("Low", "High")
    assert far(lab)[low]["rbacGroupNames"] == ["Servers"]


def test_the_best_take_the_slots_and_pinned_ones_come_first(lab: Lab) -> None:
    lab.pinned = ("local",)
    lab.restart(capacity=3)
    values = hashes(6)
    lab.publish(
        [{"value": value, "confidence": 40 + 10 * index} for index, value in enumerate(values[:5])]
        + [{"value": values[5], "confidence": 1, "sources": ["local"]}]
    )
    report = lab.deliverer.cycle()
    assert lab.there() == sorted([values[5], values[4], values[3]])
    assert report.waiting == {"no-slot": 3}
    key = next(row.key for row in lab.receipts().values()) and _key(lab, values[0])
    assert lab.deliverer.why_waiting(key) == "no-slot"


def test_eviction_needs_more_than_the_margin(lab: Lab) -> None:
    lab.restart(capacity=2, margin=10)
    a, b, c = hashes(3)
    rows = [{"value": a, "confidence": 50}, {"value": b, "confidence": 60}]
    lab.publish(rows)
    lab.deliverer.cycle()
    lab.publish([*rows, {"value": c, "confidence": 60}])
    assert lab.deliverer.cycle().sent == 0
    assert lab.there() == sorted([a, b])
    lab.publish([*rows, {"value": c, "confidence": 61}])
    report = lab.deliverer.cycle()
    assert (report.deleted, report.accepted) == (1, 1)
    assert lab.there() == sorted([b, c])
    lab.publish([{"value": a, "confidence": 50}, {"value": c, "confidence": 61}])
    lab.deliverer.cycle()
    assert lab.there() == sorted([a, c])  # a slot came free


def test_a_url_under_a_listed_domain_takes_no_slot(lab: Lab) -> None:
    lab.restart(capacity=2)
    url = {"value": "https://www.bad.com/x", "confidence": 90}
    lab.publish([{"value": "bad.com", "confidence": 20}, url,
                 {"value": "https://other.net/y", "confidence": 30},
                 {"value": hashes(1)[0], "confidence": 25}])  # fmt: skip
    report = lab.deliverer.cycle()
    assert lab.there() == sorted(["bad.com", "https://other.net/y"])
    assert report.waiting == {"covered": 1, "no-slot": 1}
    assert lab.deliverer.why_waiting(_key(lab, "https://www.bad.com/x")) == "covered: by bad.com"
    lab.publish([url])
    lab.deliverer.cycle()
    assert lab.there() == ["https://www.bad.com/x"]


def test_a_weaker_domain_does_not_cover_a_url(lab: Lab) -> None:
    lab.restart(action_by_type={"url": "Block"})
    lab.publish(["bad.com", "https://www.bad.com/x"])
    lab.deliverer.cycle()
    assert lab.there() == ["bad.com", "https://www.bad.com/x"]


def test_a_refused_indicator_holds_no_slot(lab: Lab) -> None:
    lab.restart(capacity=1)
    good, bad = hashes(2)
    lab.sandbox.faults.set(fail_items_matching=bad, fail_reason="not supported")
    lab.publish([{"value": bad, "confidence": 90}, {"value": good, "confidence": 10}])
    lab.deliverer.cycle()
    lab.publish([{"value": bad, "confidence": 90}, {"value": good, "confidence": 11}])
    lab.deliverer.cycle()
    lab.sandbox.faults.clear()
    lab.advance(minutes=1)
    lab.publish([{"value": bad, "confidence": 90}, {"value": good, "confidence": 12}, hashes(1, 9)[0]])
    lab.deliverer.cycle()
    assert lab.there() == [hashes(1, 9)[0]]


def test_a_full_tenant_is_waited_for(lab: Lab) -> None:
    lab.sandbox.faults.set(quota=2)
    lab.publish(hashes(5))
    report = lab.deliverer.cycle()
    assert (report.accepted, sum(report.errors.values())) == (2, 3)
    lab.sandbox.faults.clear()
    lab.advance(minutes=30)
    lab.deliverer.cycle()
    assert lab.there() == sorted(hashes(5))


def test_refresh_when_a_third_is_left(lab: Lab) -> None:
    lab.publish(hashes(1))
    lab.deliverer.cycle()
    receipt = lab.receipts()[hashes(1)[0]]
    assert receipt.expires is not None
    assert receipt.due is not None
    assert receipt.expires - receipt.due == timedelta(days=10)


def test_blocking_is_told_by_any_action() -> None:
    assert not node().blocking()
    assert node(action="Warn").blocking()
    assert node(action_by_type={"ipv4": "Block"}).blocking()


def test_only_what_the_texts_use_is_sent() -> None:
    assert node().sent_columns() == ["sources", "valid_until"]
    other = node(title="x {tags}", description="y", severity={0: "Low"})
    assert other.sent_columns() == ["confidence", "tags", "valid_until"]
    assert node().shown() == ["confidence", "sources", "valid_until"]


def test_a_confidence_that_is_not_shown_is_not_sent(lab: Lab) -> None:
    lab.publish([{"value": hashes(1)[0], "confidence": 50}])
    lab.deliverer.cycle()
    lab.publish([{"value": hashes(1)[0], "confidence": 60}])
    assert lab.deliverer.cycle().sent == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"title": "{nonsense}"}, "there is no field {nonsense}"),
        ({"title": "{value.__class__}"}, "there is no field"),
        ({"title": "{"}, "no template"),
        ({"action_by_type": {"email": "Block"}}, "Defender has no type"),
        ({"action_by_type": {"ipv4": "BlockAndRemediate"}}, "ipv4 can be"),
        ({"severity": {50: "High"}}, "confidence 0"),
        ({"capacity": 15_001}, "15000"),
    ],
)
def test_wrong_settings_are_told(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**values)


def test_probe_tells_what_the_app_may(lab: Lab) -> None:
    (check,) = lab.deliverer.far.probe()
    assert check.ok
    assert "Ti.ReadWrite.All" in check.message
    lab.restart(credentials={**lab.credentials(), "client_secret": "wrong"})
    (check,) = lab.deliverer.far.probe()
    assert not check.ok
    assert "secret" in check.message
    assert check.fix


def _key(lab: Lab, value: str) -> str:
    with lab.lake.reading() as con:
        row = con.execute(f"SELECT replace(key::VARCHAR, '-', '') FROM published_{lab.number} WHERE value = ?", [value])
        return str((row.fetchone() or [""])[0])
