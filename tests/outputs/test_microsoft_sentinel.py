from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from engine.lab import Lab, hashes, impatient, laboratory
from tipline.microsoft.stix import pattern_for
from tipline.model.types import TYPES
from tipline.outputs.microsoft_sentinel import MicrosoftSentinel, SentinelSettings
from tipline.outputs.sentinel_items import observable
from tipline.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


@pytest.fixture
def lab(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    impatient(monkeypatch)
    with laboratory("sentinel", sandbox) as made:
        yield made


def settings(**values: Any) -> SentinelSettings:
    return SentinelSettings.model_validate({"kind": "microsoft-sentinel", "inputs": ["x"], **values})


def objects(lab: Lab) -> dict[str, dict[str, Any]]:
    return {row["data"]["id"]: row["data"] for row in lab.sandbox.sentinel_objects()}


def test_what_an_object_says(lab: Lab) -> None:
    lab.publish([{"value": "bad.com", "confidence": 80, "tlp": 1, "tags": ["b", "a"], "refs": ["https://r.example/1"],
                  "threat_types": ["phishing"], "description": "seen"}])  # fmt: skip
    lab.deliverer.cycle()
    (thing,) = objects(lab).values()
    assert thing["pattern"] == "[domain-name:value = 'bad.com']"
    assert (thing["confidence"], thing["labels"], thing["indicator_types"]) == (80, ["a", "b"], ["phishing"])
    assert (thing["name"], thing["description"]) == ("bad.com", "seen")
    assert thing["object_marking_refs"] == ["marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"]
    assert thing["external_references"] == [{"source_name": "r.example", "url": "https://r.example/1"}]
    assert thing["valid_until"] > thing["valid_from"]
    assert lab.receipts()["bad.com"].far_id == thing["id"]


def test_one_that_left_ends_and_returns_under_the_same_id(lab: Lab) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    (first,) = objects(lab).values()
    lab.publish([])
    lab.deliverer.cycle()  # in the same second, maybe
    (ended,) = objects(lab).values()
    assert lab.there() == []
    assert ended["revoked"] is False
    assert (ended["id"], ended["created"]) == (first["id"], first["created"])
    assert ended["modified"] > first["modified"]
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    (back,) = objects(lab).values()
    assert lab.there() == ["bad.com"]
    assert (back["id"], back["created"]) == (first["id"], first["created"])
    assert back["modified"] > ended["modified"]


def test_a_false_positive_is_revoked_and_returns_as_a_new_generation(lab: Lab) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    (first,) = objects(lab)
    lab.publish([], reason="allowed by allowed: bad.com")
    lab.deliverer.cycle()
    assert objects(lab)[first]["revoked"] is True
    assert lab.receipts()["bad.com"].generation == 1
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    assert len(objects(lab)) == 2
    assert lab.there() == ["bad.com"]
    lab.publish([])
    lab.deliverer.cycle()
    assert lab.there() == []
    assert lab.receipts()["bad.com"].generation == 1  # it left, it was not revoked


def test_revoked_ahead_of_a_log_that_was_pruned_since(lab: Lab) -> None:
    lab.publish(["bad.com", "worse.com"])
    lab.deliverer.cycle()
    lab.publish(["worse.com"], reason="allowed by allowed: bad.com")
    lab.prune_log()
    lab.deliverer.cycle()
    assert lab.there() == ["worse.com"]  # ended, if not revoked: nobody knows the reason any more


def test_another_source_system_takes_the_old_copies_back(lab: Lab) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    lab.restart(source_system="other")
    report = lab.deliverer.cycle()
    assert (report.deleted, report.accepted) == (1, 1)
    assert lab.there() == ["bad.com"]
    assert {row["source"]: row["active"] for row in lab.sandbox.sentinel_objects()} == {
        "tipline": False,
        "other": True,
    }


def test_another_instance_takes_its_old_copies_back(lab: Lab) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    lab.instance = "renamed"
    lab.restart()
    lab.deliverer.cycle()
    assert len(objects(lab)) == 2
    assert lab.there() == ["bad.com"]


def test_networks_become_addresses_or_cidrs(lab: Lab) -> None:
    lab.publish(["8.8.8.0/30", "9.9.0.0/16"])
    lab.deliverer.cycle()
    assert lab.there() == ["8.8.8.0", "8.8.8.1", "8.8.8.2", "8.8.8.3"]
    lab.restart(networks="cidr")
    lab.publish(["8.8.8.0/30", "9.9.0.0/16", "7.7.7.0-7.7.7.2"])
    lab.deliverer.cycle()
    assert lab.there() == ["7.7.7.0/31", "7.7.7.2", "8.8.8.0/30", "9.9.0.0/16"]


def test_what_stix_cannot_say_is_dropped_with_a_reason(lab: Lab) -> None:
    lab.publish([{"value": "CVE-2024-1234", "type": "cve"}, "bad.com"])
    assert lab.published() == {"bad.com"}


def test_refreshes_are_spread_and_the_same_for_ever(lab: Lab) -> None:
    lab.publish(hashes(40))
    lab.deliverer.cycle()
    left = [receipt.expires - receipt.due for receipt in lab.receipts().values() if receipt.expires and receipt.due]
    assert all(timedelta(days=5) <= each <= timedelta(days=10) for each in left)
    assert len({each.days for each in left}) > 2


def test_a_refresh_keeps_id_and_created_and_moves_the_end(lab: Lab) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    (first,) = objects(lab).values()
    lab.advance(days=27)
    lab.deliverer.cycle()
    (later,) = objects(lab).values()
    assert (later["id"], later["created"]) == (first["id"], first["created"])
    assert later["valid_until"] > first["valid_until"]
    lab.advance(days=10)
    assert lab.there() == ["bad.com"]


def test_tidying_deletes_what_was_withdrawn(lab: Lab) -> None:
    lab.restart(**lab.arm(), tidy=True)
    lab.publish(["bad.com", "worse.com"])
    lab.deliverer.cycle()
    lab.publish(["worse.com"])
    lab.deliverer.cycle()
    assert len(objects(lab)) == 1
    lab.publish(["worse.com", "bad.com"])
    lab.deliverer.cycle()
    assert lab.there() == ["bad.com", "worse.com"]


def test_missing_tells_every_setting() -> None:
    missing = MicrosoftSentinel("sentinel", settings()).missing()
    assert missing == [
        "credentials.tenant_id",
        "credentials.client_id",
        "credentials.client_secret",
        "workspace_id",
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"source_system": "Microsoft Sentinel"}, "not accepted by Sentinel"),
        ({"refresh": "30d"}, "less than lifetime"),
        ({"tidy": True}, "tidy needs subscription_id"),
        ({"name": "{what}"}, "there is no field"),
    ],
)
def test_wrong_settings_are_told(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**values)


@pytest.mark.parametrize("type_", [name for name in TYPES if pattern_for(name, "1")])
def test_a_pattern_is_read_back(type_: str) -> None:
    values = {"file-path": "C:\\a b\\it's.exe", "asn": "AS65000", "ipv4": "8.8.8.8", "ipv6": "2001:db8::1"}
    value = values.get(type_, "it's.a\\value" if type_ in {"user-agent", "mutex"} else "ab12")
    assert observable(pattern_for(type_, value) or "") == (type_, value)


def test_probe_counts_where_it_can(lab: Lab) -> None:
    lab.restart(**lab.arm())
    lab.publish(hashes(3))
    lab.deliverer.cycle()
    assert [check.ok for check in lab.deliverer.far.probe()] == [True, True]
    assert "3 indicators" in lab.deliverer.far.probe()[1].message
