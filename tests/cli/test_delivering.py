"""Commands on deliveries, against the stand-in for Microsoft's APIs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tipline.sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """The stand-in."""
    with Sandbox(tmp_path / "microsoft", rate_limits=False) as running:
        yield running


@pytest.fixture
def delivered(filled: Path, sandbox: Sandbox, tipline_: Any, monkeypatch: Any) -> Path:
    """The installation with credentials for the stand-in, after a round."""
    monkeypatch.setenv("DEFENDER_SECRET", sandbox.client_secret)
    text = (
        (filled / "tipline.yml")
        .read_text()
        .replace(
            "defender: {kind: microsoft-defender, inputs: inbound}",
            "defender:\n    kind: microsoft-defender\n    inputs: inbound\n    credentials:\n"
            f"      tenant_id: {sandbox.tenant_id}\n      client_id: {sandbox.client_id}\n"
            f"      client_secret: ${{env:DEFENDER_SECRET}}\n      ca_file: {sandbox.ca_file}\n"
            f"      login_url: {sandbox.login_url}\n      defender_url: {sandbox.defender_url}",
        )
    )
    (filled / "tipline.yml").write_text(text)
    answer = tipline_("run", "--once", "--json")
    assert answer.code == 0, answer.out
    assert answer.json["deliveries"]["defender"]["accepted"] > 0
    return filled


def there(sandbox: Sandbox) -> set[str]:
    return {item["indicatorValue"] for item in sandbox.defender_indicators()}


def test_a_round_delivers_until_nothing_is_left(delivered: Path, sandbox: Sandbox, tipline_: Any) -> None:
    (entry,) = tipline_("deliveries", "--json").json["deliveries"]

    assert "1.2.3.4" in there(sandbox)
    assert (entry["output"], entry["state"], entry["lag"]) == ("defender", "ok", 0)
    assert entry["accepted"] == len(there(sandbox))


def test_allow_withdraws_from_the_far_side_at_once_and_shows_the_receipt(
    delivered: Path, sandbox: Sandbox, tipline_: Any
) -> None:
    found = tipline_("allow", "evil.example.com", "--reason", "ours", "--json").json

    assert "evil.example.com" not in there(sandbox)
    assert [(r["output"], r["value"], r["state"]) for r in found["receipts"]] == [
        ("defender", "evil.example.com", "withdrawn")
    ]


def test_allow_waits_for_the_receipt_of_a_running_server(
    delivered: Path, sandbox: Sandbox, tipline_: Any, serving: Any
) -> None:
    with serving("serve"):
        found = tipline_("allow", "evil.example.com", "--reason", "ours", "--json").json

        assert "evil.example.com" not in there(sandbox)
        assert [receipt["state"] for receipt in found["receipts"]] == ["withdrawn"]


def test_reconcile_sees_what_somebody_took_away_and_brings_it_back(
    delivered: Path, sandbox: Sandbox, tipline_: Any
) -> None:
    assert tipline_("reconcile").code == 0
    number = next(i["id"] for i in sandbox.defender_indicators() if i["indicatorValue"] == "1.2.3.4")
    sandbox.portal_delete(number)

    seen = tipline_("reconcile", "defender", "--json")
    mended = tipline_("reconcile", "--fix", "--json")

    assert seen.code == 1
    assert seen.json["outputs"][0]["missing"]["count"] == 1
    assert mended.code == 0
    assert "1.2.3.4" in there(sandbox)


def test_adopt_shows_what_an_earlier_tool_left_before_anything_is_written(
    delivered: Path, sandbox: Sandbox, tipline_: Any
) -> None:
    sandbox.portal_add("old.example.com", "DomainName")
    before = there(sandbox)

    found = tipline_("adopt", "defender", "--json").json

    assert [(item["value"], item["what"]) for item in found["items"]] == [("old.example.com", "retire")]
    assert there(sandbox) == before


def test_doctor_signs_in_and_sees_the_permission(delivered: Path, sandbox: Sandbox, tipline_: Any) -> None:
    findings = tipline_("doctor", "defender", "--json").json["findings"]

    assert {finding["state"] for finding in findings} == {"ok"}


def test_doctor_explains_a_wrong_secret(delivered: Path, tipline_: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("DEFENDER_SECRET", "wr0ng-secret")

    answer = tipline_("doctor", "defender")

    assert answer.code == 1
    assert "client secret is wrong" in " ".join(answer.out.split())
    assert "wr0ng-secret" not in answer.out + answer.err


def test_a_far_side_that_cannot_be_reached_fails_the_round_and_empties_no_list(
    delivered: Path, sandbox: Sandbox, tipline_: Any
) -> None:
    sandbox.stop()
    tipline_("add", "9.9.9.50")

    answer = tipline_("run", "--once", "--json")

    assert answer.code == 1
    assert answer.json["deliveries"]["defender"]["state"] == "failing"
    assert "9.9.9.50" in tipline_("list", "high").out.split()


def test_try_delivery_shows_requests_and_makes_none(delivered: Path, sandbox: Sandbox, tipline_: Any) -> None:
    before = sandbox.state()["calls"]
    answer = tipline_("try-delivery", "defender", "--limit", "2", "--json")
    assert answer.code == 0, answer.out
    assert (len(answer.json["requests"]), len(answer.json["withdrawals"])) == (2, 1)
    assert "indicatorValue" in answer.json["requests"][0]
    assert sandbox.client_secret not in answer.out
    assert sandbox.state()["calls"] == before
    assert tipline_("try-delivery", "nothing").code != 0


def test_one_indicator_is_overridden_shown_and_taken_back(delivered: Path, sandbox: Sandbox, tipline_: Any) -> None:
    refused = tipline_("override", "set", "defender", "1.2.3.4", "--action", "Block", "--reason", "t", "--json")
    assert (refused.code, "confirm it" in refused.json["error"]["fix"]) == (1, True)
    said = tipline_("override", "set", "defender", "1.2.3.4", "--action", "Block", "--reason", "ticket 7", "--yes")
    assert (said.code, said.out) == (0, "defender: 1.2.3.4 is Block\n")
    assert action(sandbox, "1.2.3.4") == "Block"
    assert "(in force: Block, by" in tipline_("why", "1.2.3.4").out
    (listed,) = tipline_("override", "list", "--json").json["overrides"]
    assert (listed["value"], listed["action"], listed["reason"]) == ("1.2.3.4", "Block", "ticket 7")
    assert "ticket 7" in tipline_("override", "list", "defender", "--text", "1.2.3").out
    assert tipline_("override", "remove", "defender", "1.2.3.4").code == 0
    assert action(sandbox, "1.2.3.4") == "Audit"
    assert tipline_("override", "list").out == "nothing is overridden\n"


def action(sandbox: Sandbox, value: str) -> str:
    (found,) = [item for item in sandbox.defender_indicators() if item["indicatorValue"] == value]
    return str(found["action"])
