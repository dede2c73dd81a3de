"""Graph's retired tiIndicators against the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from engine.lab import WaitClock, hashes
from outputs.delivering import Bench, bench
from tipline.engine.reconcile import reconcile
from tipline.microsoft.pace import RateLimiter
from tipline.microsoft.transport import ApiError, Connection, Patience
from tipline.outputs import graph_side
from tipline.outputs.delivery import Parcel
from tipline.outputs.graph_side import GraphSide
from tipline.outputs.microsoft_graph import GraphSettings, MicrosoftGraph
from tipline.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


def reach(box: Sandbox) -> dict[str, Any]:
    app = box.add_app("graph", secret="a-secret-of-a-test", roles=["ThreatIndicators.ReadWrite.OwnedBy"])
    return {
        "graph_url": box.url,
        "credentials": {"tenant_id": box.tenant_id, "client_id": app.client_id, "client_secret": "a-secret-of-a-test",
                        "ca_file": str(box.ca_file), "login_url": box.login_url},
    }  # fmt: skip


@pytest.fixture
def lab(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    def connection(credentials: Any, stop: Any) -> Connection:
        return Connection(ca_file=credentials.ca_file, clock=WaitClock(stop), patience=Patience(longest_wait=1e9))

    monkeypatch.setattr(graph_side, "connection", connection)
    monkeypatch.setattr(graph_side, "limiter", lambda _n, _c, _w, link, _s: RateLimiter({}, link.clock))
    with bench(MicrosoftGraph, **reach(sandbox)) as made:
        yield made


def there(lab: Bench) -> dict[str, dict[str, Any]]:
    found = lab.deliverer.far.listing(lab.now())
    assert found is not None
    return {item.value: dict(item.content) for item in found}


def test_what_an_indicator_says(lab: Bench) -> None:
    lab.publish([{"value": "bad.com", "tlp": 3, "confidence": 80, "tags": ["b", "a"], "threat_types": ["phishing"],
                  "description": "x" * 300}, "8.8.8.8", "a" * 64])  # fmt: skip
    assert lab.deliverer.cycle().accepted == 3
    found = there(lab)["bad.com"]
    assert found["domainName"] == "bad.com"
    assert (found["threatType"], found["tlpLevel"], found["confidence"]) == ("Phishing", "amber", 80)
    assert (found["action"], found["targetProduct"], found["passiveOnly"]) == ("alert", "Azure Sentinel", False)
    assert len(found["description"]) == 100
    assert there(lab)["8.8.8.8"]["networkIPv4"] == "8.8.8.8"
    assert there(lab)["a" * 64]["fileHashType"] == "sha256"
    assert lab.receipts()["bad.com"].far_id == found["id"]


def test_batches_of_a_hundred_and_deletion(lab: Bench) -> None:
    lab.publish(hashes(250))
    assert lab.deliverer.cycle().accepted == 250
    lab.publish(hashes(120))
    assert lab.deliverer.cycle().deleted == 130
    assert sorted(there(lab)) == sorted(lab.published())


@pytest.mark.parametrize(
    "plan", [{"drop_after_every": 2}, {"drop_before_every": 2}, {"throttle_every": 2}, {"error_every": 2}]
)
def test_faults_lose_and_double_nothing(lab: Bench, sandbox: Sandbox, plan: dict[str, int]) -> None:
    sandbox.faults.set(**plan, only=("graph",))
    lab.publish(hashes(250))
    lab.settle_all()
    sandbox.faults.clear()
    assert sorted(there(lab)) == sorted(lab.published())
    assert len(list(lab.deliverer.far.listing(lab.now()) or ())) == 250


def test_an_item_that_is_refused(lab: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    far = lab.deliverer.far
    lab.publish(hashes(3))
    pack = far.pack

    def broken(row: Any, receipt: Any, moment: Any) -> Any:
        made = pack(row, receipt, moment)
        assert isinstance(made, Parcel)
        bad = row.value == hashes(3)[1]
        return replace(made, payload={**made.payload, "threatType": "Nonsense"}) if bad else made

    monkeypatch.setattr(far, "pack", broken)
    report = lab.deliverer.cycle()
    assert (report.accepted, sum(report.errors.values())) == (2, 1)
    assert "InvalidInput: threatType" in lab.receipts()[hashes(3)[1]].reason


def test_refreshed_before_it_lapses(lab: Bench) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    first = there(lab)["bad.com"]
    lab.advance(days=21)
    assert lab.deliverer.cycle().sent == 1
    again = there(lab)["bad.com"]
    assert again["expirationDateTime"] > first["expirationDateTime"]
    assert again["id"] == first["id"]


def test_reconcile_mends(lab: Bench) -> None:
    lab.publish(["bad.com", "worse.com"])
    lab.deliverer.cycle()
    assert reconcile(lab.deliverer).state == "clean"
    lab.deliverer.far.erase([item for item in lab.deliverer.far.listing(lab.now()) or () if item.value == "bad.com"])
    assert reconcile(lab.deliverer, fix=True).missing.count == 1
    lab.deliverer.cycle()
    assert sorted(there(lab)) == ["bad.com", "worse.com"]


def test_defender_takes_destinations(sandbox: Sandbox, lab: Bench) -> None:
    lab.restart(target_product="Microsoft Defender ATP", action="block")
    lab.publish(["8.8.8.0/31", {"value": "x@bad.com", "type": "email"}])
    lab.deliverer.cycle()
    assert {value: each["networkDestinationIPv4"] for value, each in there(lab).items()} == {
        "8.8.8.0": "8.8.8.0", "8.8.8.1": "8.8.8.1",
    }  # fmt: skip


def test_it_says_that_it_is_retired(lab: Bench) -> None:
    (check,) = lab.deliverer.far.probe()
    assert check.ok
    assert "microsoft-sentinel" in check.message
    assert "retired" in MicrosoftGraph.summary()


def test_the_stand_in_keeps_to_the_limits(lab: Bench, sandbox: Sandbox) -> None:
    far = lab.deliverer.far
    assert isinstance(far, GraphSide)
    api = far._api
    with pytest.raises(ApiError, match="Between 1 and 100"):
        api.call("POST", "/submitTiIndicators", "graph", body={"value": [{}] * 101})
    found = api.call("POST", "/submitTiIndicators", "graph", body={"value": [{"targetProduct": "Azure Sentinel"}]})
    assert found.status == 206
    assert json.loads(found.body["value"][0]["Error"])["error"]["code"] == "InvalidInput"
    gone = api.call("POST", "/deleteTiIndicators", "graph", body={"value": ["nobody"]})
    assert gone.body["value"][0]["code"] == 404


@pytest.mark.parametrize("values", [{"graph_url": "http://x"}, {"refresh": "40d"}, {"batch": 101}])
def test_wrong_settings(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GraphSettings.model_validate({"kind": "microsoft-graph", "inputs": ["x"], **values})
