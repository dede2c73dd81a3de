"""A MISP server kept by PyMISP, and read back through PyMISP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from pymisp import PyMISP

from engine.lab import Killed, hashes
from outputs.delivering import Bench, bench, fine, refuse
from outputs.misp_stage import KEY, Misp
from tipline.engine.reconcile import reconcile
from tipline.errors import FarSideError
from tipline.outputs.delivery import Parcel, Row
from tipline.outputs.misp_push import MispPush, MispPushSettings


@pytest.fixture
def misp() -> Iterator[Misp]:
    with Misp() as running:
        yield running


@pytest.fixture
def lab(misp: Misp) -> Iterator[Bench]:
    with bench(
        MispPush, url=misp.url, key=KEY, title="From the CERT", tags=["tlp:green"], event_distribution=1
    ) as made:
        yield made


def test_an_event_that_pymisp_reads(lab: Bench, misp: Misp) -> None:
    lab.publish([{"value": "bad.com", "tags": ["phish"], "description": "seen"}, "8.8.8.0/24", "a" * 64,
                 {"value": "CVE-2024-1234", "type": "cve"}])  # fmt: skip
    assert lab.deliverer.cycle().errors == {}
    (uuid,) = misp.events
    event: Any = PyMISP(misp.url, KEY).get_event(uuid, pythonify=True)
    assert (event.info, str(event.distribution), event.published) == ("From the CERT", "1", True)
    assert [tag.name for tag in event.tags] == ["tlp:green"]
    found = {attribute.value: attribute for attribute in event.attributes}
    assert {value: (each.type, each.to_ids) for value, each in found.items() if not value.startswith("CVE")} == {
        "bad.com": ("domain", True), "8.8.8.0/24": ("ip-dst", True), "a" * 64: ("sha256", True),
    }  # fmt: skip
    assert {tag.name for tag in found["bad.com"].tags} == {"phish", "tlp:amber"}
    assert found["bad.com"].comment == "seen [confidence 50; feed]"


def test_only_the_difference_travels_and_what_left_is_deleted_softly(lab: Bench, misp: Misp) -> None:
    lab.publish(hashes(5))
    lab.deliverer.cycle()
    lab.publish([*hashes(4), "bad.com"])
    report = lab.deliverer.cycle()
    assert (report.accepted, report.deleted) == (1, 1)
    assert set(misp.live()) == lab.published()
    (event,) = misp.events.values()
    assert [each["value"] for each in event["Attribute"] if each["deleted"]] == hashes(5)[4:]
    assert event["published"]
    before = len(misp.log)
    lab.deliverer.cycle()
    assert len(misp.log) == before


def test_one_that_returns_is_restored(lab: Bench, misp: Misp) -> None:
    for published in (["bad.com"], [], ["bad.com"]):
        lab.publish(published)
        assert lab.deliverer.cycle().errors == {}
    assert list(misp.live()) == ["bad.com"]
    assert len(misp.events) == 1


def test_tags_that_were_taken_away_go(lab: Bench, misp: Misp) -> None:
    lab.publish([{"value": "bad.com", "tags": ["a", "b"], "tlp": 3}])
    lab.deliverer.cycle()
    lab.publish([{"value": "bad.com", "tags": ["b"], "tlp": 1}])
    lab.deliverer.cycle()
    assert {tag["name"] for tag in misp.live()["bad.com"]["Tag"]} == {"b", "tlp:green"}


def test_tags_go_although_the_answer_was_lost(lab: Bench, misp: Misp) -> None:
    lab.publish([{"value": "bad.com", "tags": ["a", "b"]}])
    lab.deliverer.cycle()
    lab.publish([{"value": "bad.com", "tags": ["b"]}])
    misp.faults = [fine, refuse(500, {"name": "no"})]
    assert lab.deliverer.cycle().state == "failing"
    lab.restart().cycle()
    assert {tag["name"] for tag in misp.live()["bad.com"]["Tag"]} == {"b", "tlp:amber"}


def test_an_event_for_each_source(misp: Misp) -> None:
    with bench(MispPush, url=misp.url, key=KEY, event="source") as lab:
        lab.publish([{"value": "bad.com", "sources": ["one", "two"]}, {"value": "worse.com", "sources": ["two"]}])
        lab.deliverer.cycle()
        titles = [event["info"] for event in misp.events.values()]
        assert sorted(titles) == ["misp-push: one", "misp-push: two"]
        one, two = (titles.index(f"misp-push: {name}") for name in ("one", "two"))
        assert [sorted(misp.live(number)) for number in (one, two)] == [["bad.com"], ["bad.com", "worse.com"]]
        lab.publish([{"value": "bad.com", "sources": ["one"]}])
        lab.deliverer.cycle()
        assert [sorted(misp.live(number)) for number in (one, two)] == [["bad.com"], []]
        assert reconcile(lab.deliverer).state == "unverifiable"


@pytest.mark.parametrize("event", ["output", "source"])
def test_dead_between_sending_and_publishing(misp: Misp, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    def die() -> None:
        raise Killed

    with bench(MispPush, url=misp.url, key=KEY, event=event) as lab:
        lab.publish(["bad.com"])
        monkeypatch.setattr(lab.deliverer.far, "finished", die)
        with pytest.raises(Killed):
            lab.deliverer.cycle()
        assert misp.published == []
        lab.restart().cycle()
        assert len(misp.published) == 1
        lab.restart().cycle()
        assert len(misp.published) == 1


def test_what_a_retry_sent_is_published_although_publishing_failed(
    lab: Bench, misp: Misp, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    (event,) = misp.events.values()
    foreign = {**event["Attribute"][0], "uuid": "11111111-1111-4111-8111-111111111111", "value": "worse.com"}
    event["Attribute"].append(foreign)
    lab.publish(["bad.com", "worse.com"])
    assert lab.deliverer.cycle().errors
    event["Attribute"].remove(foreign)
    lab.advance(minutes=2)
    far = lab.deliverer.far
    publish = far.finished

    def fail() -> int:
        monkeypatch.setattr(far, "finished", publish)
        raise FarSideError("not now")

    monkeypatch.setattr(far, "finished", fail)
    assert lab.deliverer.cycle().state == "failing"
    assert not event["published"]
    assert lab.deliverer.cycle().state == "ok"
    assert event["published"]


def test_an_attribute_that_is_not_taken_is_said(lab: Bench, misp: Misp) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    (event,) = misp.events.values()
    event["Attribute"].append({**event["Attribute"][0], "uuid": "11111111-1111-4111-8111-111111111111",
                               "value": "worse.com"})  # fmt: skip
    lab.publish(["bad.com", "worse.com"])
    report = lab.deliverer.cycle()
    assert sum(report.errors.values()) == 1
    assert "not taken" in lab.receipts()["worse.com"].reason


@pytest.mark.parametrize("status", [500, 403])
def test_a_server_that_refuses(lab: Bench, misp: Misp, status: int) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    misp.faults = [refuse(status, {"name": "no", "message": f"not today, {KEY}"})]
    lab.publish(["bad.com", "worse.com"])
    report = lab.deliverer.cycle()
    assert report.state == "failing"
    assert KEY not in report.message
    lab.deliverer.cycle()
    assert sorted(misp.live()) == ["bad.com", "worse.com"]


def test_reconcile_mends(lab: Bench, misp: Misp) -> None:
    lab.publish(["bad.com", "worse.com", "8.8.8.8"])
    lab.deliverer.cycle()
    assert reconcile(lab.deliverer).state == "clean"
    misp.live()["bad.com"]["deleted"] = True
    misp.live()["8.8.8.8"]["to_ids"] = False
    report = reconcile(lab.deliverer, fix=True)
    assert (report.missing.count, report.different.count) == (1, 1)
    lab.deliverer.cycle()
    assert reconcile(lab.deliverer).state == "clean"
    assert misp.live()["8.8.8.8"]["to_ids"] is True


def test_direction_chooses_the_type(lab: Bench) -> None:
    row = Row(key="0" * 32, type="ipv4", value="8.8.8.8", direction="inbound")
    parcel = lab.deliverer.far.pack(row, None, lab.now())
    assert isinstance(parcel, Parcel)
    assert parcel.payload["attribute"]["type"] == "ip-src"


def test_doctor_looks_at_the_rights(lab: Bench, misp: Misp) -> None:
    assert [check.ok for check in lab.deliverer.far.probe()] == [True]
    misp.may_publish = False
    assert [check.ok for check in lab.deliverer.far.probe()] == [False]


@pytest.mark.parametrize("values", [{"event_distribution": 4}, {"sharing_group": 3}, {"url": "misp.example.org"}])
def test_wrong_settings(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MispPushSettings.model_validate({"kind": "misp-push", "inputs": ["x"], **values})
