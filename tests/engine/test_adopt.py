from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from engine.lab import Lab, hashes, impatient, laboratory
from tipline.engine.adopt import adopt
from tipline.engine.reconcile import reconcile
from tipline.errors import TiplineError
from tipline.microsoft.stix import StixIndicator, indicator_object
from tipline.outputs.defender_side import DefenderSide
from tipline.outputs.microsoft_shared import MicrosoftSettings
from tipline.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rate_limits=False) as running:
        yield running


@pytest.fixture
def lab(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    impatient(monkeypatch)
    with laboratory("defender", sandbox) as made:
        yield made


def left_by_this_app(lab: Lab, values: list[str], action: str = "Audit") -> None:
    """Indicators as an earlier tool made them with the same app registration."""
    far = lab.deliverer.far
    assert isinstance(far, DefenderSide)
    body = {"indicatorType": "FileSha256", "action": action, "title": "MineMeld", "description": "x",
            "generateAlert": True}  # fmt: skip
    results = far.client.import_indicators([body | {"indicatorValue": value} for value in values])
    assert all(result.ok for result in results)


def test_everything_is_shown_before_anything_is_written(lab: Lab) -> None:
    a, b, c, d = hashes(4)
    left_by_this_app(lab, [a])
    left_by_this_app(lab, [b], "Block")
    left_by_this_app(lab, [c])
    lab.sandbox.portal_add("bad.com", "DomainName")
    lab.sandbox.portal_add("fine.com", "DomainName", "Allowed")
    lab.publish([a, b, d, "bad.com", "fine.com"])
    before = lab.sandbox.defender_indicators()
    plan = adopt(lab.deliverer)
    assert {item.value: item.what for item in plan.items} == {
        a: "keep", b: "replace", c: "retire", "bad.com": "replace", "fine.com": "leave",
    }  # fmt: skip
    assert all(item.why for item in plan.items)
    assert plan.as_dict()["counts"] == {"keep": 1, "replace": 2, "retire": 1, "leave": 1}
    assert lab.sandbox.defender_indicators() == before
    assert lab.receipts() == {}


def test_applying_takes_over_replaces_and_leaves_the_rest(lab: Lab) -> None:
    a, b, c, d = hashes(4)
    left_by_this_app(lab, [a, c])
    left_by_this_app(lab, [b], "Block")
    lab.publish([a, b, d])
    kept = {row["indicatorValue"]: row["id"] for row in lab.sandbox.defender_indicators()}[a]
    plan = adopt(lab.deliverer, apply=True)
    assert (plan.applied, plan.deleted) == (True, 1)
    lab.deliverer.cycle()
    rows = {row["indicatorValue"]: row for row in lab.sandbox.defender_indicators()}
    assert sorted(rows) == sorted([a, b, c, d])
    assert rows[a]["id"] == kept
    assert rows[a]["externalId"].startswith("tipline:test:defender:")
    assert rows[b]["action"] == "Audit"
    assert reconcile(lab.deliverer).drift == 0
    with pytest.raises(TiplineError, match="wants a name"):
        adopt(lab.deliverer, apply=True, retire=True)
    adopt(lab.deliverer, source="MineMeld", apply=True, retire=True)
    assert c not in lab.there()


def test_only_the_named_tool_is_touched(lab: Lab) -> None:
    a, b = hashes(2)
    left_by_this_app(lab, [a])
    lab.sandbox.portal_add(b, "FileSha256", title="by hand")
    plan = adopt(lab.deliverer, source="MineMeld", apply=True, retire=True)
    assert [item.value for item in plan.items] == [a]
    assert lab.there() == [b]


def test_shadow_mode_only_shows(lab: Lab) -> None:
    left_by_this_app(lab, hashes(1))
    lab.restart(mode="shadow")
    assert len(adopt(lab.deliverer).items) == 1
    with pytest.raises(TiplineError, match="shadow"):
        adopt(lab.deliverer, apply=True)


def test_sentinel_replaces_what_another_source_system_left(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    with laboratory("sentinel", sandbox) as lab:
        with pytest.raises(TiplineError, match="cannot be read"):
            adopt(lab.deliverer, source="OldTool")
        lab.restart(**lab.arm())
        _upload_as(lab, "OldTool", ["bad.com", "stale.com"])
        lab.publish(["bad.com"])
        plan = adopt(lab.deliverer, source="OldTool")
        assert {item.value: item.what for item in plan.items} == {"bad.com": "replace", "stale.com": "retire"}
        lab.deliverer.cycle()
        assert lab.there() == ["bad.com", "bad.com", "stale.com"]
        adopt(lab.deliverer, source="OldTool", apply=True, retire=True)
        assert lab.there() == ["bad.com"]


def _upload_as(lab: Lab, source: str, domains: list[str]) -> None:
    now = lab.now()
    box = lab.sandbox
    things = [
        indicator_object(
            StixIndicator(
                id=f"indicator--00000000-0000-4000-8000-{index:012d}", created=now, modified=now,
                pattern=f"[domain-name:value = '{domain}']", valid_from=now,
                valid_until=now.replace(year=now.year + 1), name=domain,
            )
        )
        for index, domain in enumerate(domains)
    ]  # fmt: skip
    settings = lab.deliverer.kind.settings
    assert isinstance(settings, MicrosoftSettings)
    credentials = settings.credentials
    token = credentials.token(credentials.endpoints.arm_scope)
    import ssl

    with httpx.Client(verify=ssl.create_default_context(cafile=str(box.ca_file))) as http:
        answer = http.post(
            credentials.endpoints.upload_url(box.workspace_id),
            json={"sourcesystem": source, "stixobjects": things},
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
    assert answer.status_code == 200


def test_what_another_output_of_ours_sent_is_left_alone(lab: Lab) -> None:
    lab.publish(hashes(2))
    lab.deliverer.cycle()
    lab.instance = "elsewhere"
    lab.restart()
    assert adopt(lab.deliverer).items == []
    assert len(adopt(lab.deliverer, source="tipline:test:defender:").items) == 2
