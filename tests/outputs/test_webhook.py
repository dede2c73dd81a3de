"""Webhooks against a real HTTP server, their signatures verified by the Standard Webhooks library."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from engine.lab import Killed, hashes
from outputs.delivering import Asked, Bench, Said, Server, bench, fine, no_waits, refuse
from tipline.outputs.webhook import Webhook, WebhookSettings

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Receiver(Server):
    """Applies events as the how-to says: by number once, add and change alike."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, dict[str, Any]] = {}
        self.seen: list[str] = []
        self.repeated = 0

    def answer(self, asked: Asked) -> Said:
        Verifier(SECRET).verify(asked.body, asked.headers)
        for event in asked.json()["events"]:
            if event["id"] in self.seen:
                self.repeated += 1
                continue
            self.seen.append(event["id"])
            if event["event"] == "remove":
                del self.held[event["indicator"]["value"]]
            else:
                self.held[event["indicator"]["value"]] = event
        return Said(204)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return no_waits(monkeypatch)


@pytest.fixture
def lab(receiver: Receiver, waited: list[float]) -> Iterator[Bench]:
    with bench(Webhook, url=f"{receiver.url}/hook?tenant=7", secret=SECRET, batch=10) as made:
        yield made


def settings(**values: Any) -> WebhookSettings:
    return WebhookSettings.model_validate({"kind": "webhook", "inputs": ["x"], **values})


def test_added_changed_and_removed(lab: Bench, receiver: Receiver) -> None:
    lab.publish(["bad.com", {"value": "8.8.8.8", "confidence": 90, "tlp": 1, "tags": ["b", "a"], "description": "é"}])
    assert lab.deliverer.cycle().accepted == 2
    indicator = receiver.held["8.8.8.8"]["indicator"]
    assert (indicator["type"], indicator["confidence"], indicator["tlp"]) == ("ipv4", 90, "green")
    assert (indicator["tags"], indicator["description"]) == (["a", "b"], "é")
    assert "direction" not in indicator
    lab.publish([{"value": "bad.com", "confidence": 80}])
    report = lab.deliverer.cycle()
    assert (report.accepted, report.deleted) == (1, 1)
    assert {value: event["event"] for value, event in receiver.held.items()} == {"bad.com": "change"}
    assert receiver.log[0].query == {"tenant": "7"}
    assert receiver.log[0].json()["output"] == "webhook"
    assert lab.receipts()["bad.com"].holds == "yes"


def test_one_that_returns_is_added_anew(lab: Bench, receiver: Receiver) -> None:
    for published in (["bad.com"], [], ["bad.com"]):
        lab.publish(published)
        lab.deliverer.cycle()
    assert receiver.held["bad.com"]["event"] == "add"
    assert len(receiver.seen) == 3


def test_a_changed_body_is_told_by_the_signature(lab: Bench, receiver: Receiver) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    asked = receiver.log[0]
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(asked.body + b" ", asked.headers)
    assert asked.headers["idempotency-key"] == asked.headers["webhook-id"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_repeated_under_the_same_number(lab: Bench, receiver: Receiver, waited: list[float], status: int) -> None:
    receiver.faults = [refuse(status, Retry_After="7"), lambda asked: Said(cut=bool(receiver.answer(asked)))]
    lab.publish(hashes(3))
    assert lab.deliverer.cycle().accepted == 3
    assert [wait for wait in waited if wait >= 7] == [7]
    assert len({asked.headers["webhook-id"] for asked in receiver.log}) == 1
    assert (len(receiver.held), receiver.repeated) == (3, 3)


def test_a_lost_answer_repeats_the_numbers_in_another_process(lab: Bench, receiver: Receiver) -> None:
    def lost(asked: Asked) -> Said:
        receiver.answer(asked)
        return Said(cut=True)

    receiver.faults = [lost] * 6
    lab.publish(["bad.com"])
    assert lab.deliverer.cycle().state == "failing"
    assert lab.receipts()["bad.com"].holds == "perhaps"
    lab.restart()
    lab.publish(["bad.com", "worse.com"])
    assert lab.deliverer.cycle().state == "ok"
    assert sorted(receiver.held) == ["bad.com", "worse.com"]
    assert len(receiver.seen) == 2


def test_a_process_that_dies_repeats_the_numbers(lab: Bench, receiver: Receiver, monkeypatch: Any) -> None:
    def die(*_: Any) -> None:
        raise Killed

    lab.publish(["bad.com"])
    with monkeypatch.context() as patch:
        patch.setattr(lab.deliverer, "_note_sent", die)
        with pytest.raises(Killed):
            lab.deliverer.cycle()
    lab.restart().cycle()
    assert receiver.repeated == 1
    lab.publish([])
    with monkeypatch.context() as patch:
        patch.setattr(lab.deliverer, "_note_withdrawn", die)
        with pytest.raises(Killed):
            lab.deliverer.cycle()
    lab.restart().cycle()
    assert (receiver.repeated, receiver.held, lab.receipts()) == (2, {}, {})


def test_the_event_that_is_refused_is_found_and_parked(lab: Bench, receiver: Receiver) -> None:
    values = hashes(20)

    def picky(asked: Asked) -> Said | None:
        bad = any(event["indicator"]["value"] == values[7] for event in asked.json()["events"])
        return Said(422, {"error": "no such hash"}) if bad else None

    receiver.faults = [picky] * 20
    lab.publish(values)
    report = lab.deliverer.cycle()
    assert (report.accepted, sum(report.errors.values())) == (19, 1)
    parked = lab.receipts()[values[7]]
    assert (parked.state, parked.holds, parked.due) == ("parked", "no", None)
    assert "422" in parked.reason
    assert "no such hash" in parked.reason
    receiver.faults.clear()
    assert lab.deliverer.cycle().sent == 0  # not before it, or the settings, change
    lab.publish([{"value": value, "confidence": 60} for value in values])
    lab.deliverer.cycle()
    assert len(receiver.held) == 20


@pytest.mark.parametrize(("status", "fix"), [(401, "sign-in"), (404, "check url"), (302, "redirects"), (410, "410")])
def test_a_receiver_that_refuses_everything_is_said(lab: Bench, receiver: Receiver, status: int, fix: str) -> None:
    receiver.faults = [refuse(status, Location="http://127.0.0.1:1/")]
    lab.publish(["bad.com"])
    report = lab.deliverer.cycle()
    assert (report.state, len(receiver.log)) == ("failing", 1)
    assert fix in report.message
    lab.deliverer.cycle()
    assert list(receiver.held) == ["bad.com"]


def test_no_secret_is_shown(receiver: Receiver, waited: list[float]) -> None:
    token = "tok-0123456789abcdef-secret"
    with bench(Webhook, url=receiver.url, secret=SECRET, bearer=token) as lab:
        receiver.faults = [lambda asked: Said(403, {"you": asked.headers["authorization"]})]
        lab.publish(["bad.com"])
        report = lab.deliverer.cycle()
        shown = repr(lab.deliverer.kind.settings) + report.message + str(lab.deliverer.preview(1))
        assert "bad.com" in shown
        assert token not in shown
        assert SECRET not in shown
        assert "webhook-signature: ***" in str(lab.deliverer.preview(1)["requests"][0])


def test_doctor_asks_with_an_empty_batch(lab: Bench, receiver: Receiver) -> None:
    receiver.faults = [fine, refuse(500), *[refuse(500)] * 6]
    assert [check.ok for check in lab.deliverer.far.probe()] == [True]
    assert [check.ok for check in lab.deliverer.far.probe()] == [False]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "ftp://x"}, "https://"),
        ({"url": "https://u:p@x"}, "set basic"),
        ({"secret": "short"}, "24 bytes"),
        ({"secret": "whsec_%%%"}, "base64"),
        ({"basic": {"username": "a", "password": "b"}, "bearer": "c"}, "exclude"),
    ],
)
def test_wrong_settings(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**values)


def test_one_that_is_gone_tells_of_every_removal(lab: Bench, receiver: Receiver) -> None:
    lab.publish(hashes(25))
    lab.deliverer.cycle()
    assert len(receiver.held) == 25
    lab.deliverer.retiring = True  # as of an output that is taken out of the configuration
    report = lab.deliverer.cycle()
    assert (report.state, report.deleted, receiver.held) == ("ok", 25, {})
