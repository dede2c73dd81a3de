"""The pages of deliveries against the stand-in: what is shown, what buttons do, and who may press them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from web import far_stage, looks, stage
from web.far_stage import FOREIGN, REFUSED, FarLab

PAGES = [
    "/deliveries",
    "/deliveries?text=microsoft&sort=-held",
    "/deliveries/defender",
    "/deliveries/later",
    "/deliveries/sentinel",
    "/deliveries/defender/receipts",
    "/deliveries/defender/receipts?state=accepted&type=sha256&text=a",
    "/deliveries/defender/queue",
    "/deliveries/defender/queue?waiting=no-slot",
    "/deliveries/defender/defender",
    "/deliveries/defender/defender?tab=urls&whose=foreign&expires=30d",
    "/deliveries/defender/preview",
    "/deliveries/defender/adopt",
    "/deliveries/sentinel/sentinel",
    "/deliveries/sentinel/receipts",
]
BASE = "/deliveries/defender"


def view(page: Page, far: FarLab, path: str) -> dict[str, Any]:
    answer = page.request.get(far.ui(path), headers={"accept": "application/json"})
    assert answer.status == 200, answer.text()
    return dict(answer.json())


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_runs_nothing_and_is_also_json(page: Page, far: FarLab, path: str) -> None:
    looks.check_page(page, far, path)


def test_the_figures_are_those_of_the_far_side(page: Page, far: FarLab) -> None:
    found = view(page, far, BASE)
    (state,) = [each for each in far.operations.call("deliveries", {})["deliveries"] if each["output"] == "defender"]
    there = far.sandbox.defender_indicators()
    assert found["delivery"]["held"] == len(there) - 3
    assert found["foreign"] == 3
    assert state["detail"]["waiting"]["no-slot"] > 0
    page.goto(far.ui(BASE))
    expect(page.get_by_text("free to us")).to_be_visible()
    page.get_by_role("link", name="Who waits").click()
    page.wait_for_url("**/queue?waiting=no-slot")
    expect(page.locator("tbody tr").first).to_contain_text("no-slot")


def test_the_connection_is_checked_and_its_state_told_in_words(page: Page, far: FarLab) -> None:
    page.goto(far.ui(BASE))
    page.get_by_role("button", name="Check the connection").click()
    expect(page.get_by_text("The far side can be used")).to_be_visible()
    expect(page.get_by_text("sees all indicators (Ti.ReadWrite.All)")).to_be_visible()
    page.goto(far.ui("/deliveries/later"))
    expect(page.get_by_text("credentials.tenant_id").first).to_be_visible()


def test_what_was_refused_is_told_by_reason_and_tried_again(page: Page, far: FarLab) -> None:
    (receipt,) = far.operations.call("receipts", {"output": "defender", "text": REFUSED.upper()})["receipts"]
    assert receipt["state"] == "parked"
    page.goto(far.ui(BASE))
    row = page.get_by_role("row").filter(has_text=receipt["reason"][:20])
    row.get_by_role("link").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text(REFUSED)
    page.goto(far.ui(BASE))
    page.get_by_role("button", name="Try again what was refused").click()
    expect(page.get_by_role("status").filter(has_text="1 are tried again")).to_be_visible()
    entry = far.operations.call("audit", {"action": "retry"})["entries"][0]
    assert (entry["actor"], entry["detail"]["count"]) == (stage.ADMIN, 1)


def test_what_is_refused_is_sent_once_more_by_the_next_cycle(far: FarLab) -> None:
    def tries() -> int:
        (receipt,) = far.operations.call("receipts", {"output": "defender", "text": REFUSED})["receipts"]
        return int(receipt["attempts"]) if receipt["state"] == "parked" else -1

    before = imports(far)
    assert far.operations.call("retry", {"output": "defender", "reason": "no such reason"})["retried"] == 0
    assert far.operations.call("retry", {"output": "defender"})["retried"] == 1
    until(lambda: imports(far) > before and tries() >= 0)


def imports(far: FarLab) -> int:
    return sum(far.sandbox.state()["calls"]["defender.import"]["by_result"].values())


def until(done: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_tenant_is_listed_as_in_its_portal_ours_and_others(page: Page, far: FarLab) -> None:
    found = view(page, far, f"{BASE}/defender?whose=foreign")
    assert {item["value"] for item in found["items"]} == {FOREIGN, "other0.example.net", "other1.example.net"}
    both = view(page, far, f"{BASE}/defender?tab=files")
    assert both["total"] == both["groups"]["files"]
    assert {item["severity"] for item in both["items"]} == {"Informational"}
    page.goto(far.ui(f"{BASE}/defender"))
    page.get_by_role("link", name="URLs/Domains").click()
    page.get_by_label("Action").select_option("Allowed")
    page.wait_for_url("**action=Allowed**")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=FOREIGN).click()
    expect(page.get_by_text("createdByDisplayName")).to_be_visible()
    assert page.get_by_text(stage.SCRIPT).count() > 0


def test_pages_of_receipts_and_slots_and_items_meet_end_to_end(page: Page, far: FarLab) -> None:
    for path, name, key in (
        ("receipts", "receipts", "key"),
        ("queue", "indicators", "key"),
        ("defender", "items", "value"),
    ):
        seen: list[str] = []
        after = ""
        while True:
            found = view(page, far, f"{BASE}/{path}?after={quote(after)}")
            seen += [each[key] for each in found[name]]
            after = str(found["next"])
            if not after:
                break
        whole = {"receipts": "receipts", "queue": "slots", "defender": "defender_items"}[path]
        wanted = {"wanted": {}} if path == "defender" else {}
        every = far.operations.call(whole, {"output": "defender", "limit": 1000, **wanted})[name]
        assert seen == [each[key] for each in every]
        assert len(seen) > 50


@pytest.mark.parametrize(
    "after",
    ["x", "[", "[1]", '["a", {}]', '["a", "b", "c"]', "[" * 3000, f'[{10**30}, "{"0" * 32}"]', '[1, "x"]', '[[], "x"]'],
)
def test_an_address_that_no_page_made_is_refused(page: Page, far: FarLab, after: str) -> None:
    for path in ("queue", "defender", "receipts"):
        answer = page.request.get(far.ui(f"{BASE}/{path}?after={quote(after)}"), headers={"accept": "application/json"})
        assert answer.status < 500, (path, answer.text())


def test_drift_is_shown_first_and_set_right_when_somebody_says_so(page: Page, far: FarLab) -> None:
    (gone,) = [each for each in far.sandbox.defender_indicators() if each["indicatorValue"] == "198.51.101.7"]
    far.sandbox.portal_delete(gone["id"])
    page.goto(far.ui(BASE))
    page.get_by_role("button", name="Reconcile").click()
    expect(page.get_by_role("row").filter(has_text="accepted, and not there")).to_contain_text("198.51.101.7")
    assert not [each for each in far.sandbox.defender_indicators() if each["indicatorValue"] == "198.51.101.7"]
    page.get_by_role("button", name="Set right what differs").click()
    expect(page.get_by_text("to send again")).to_be_visible()
    until(lambda: [each for each in far.sandbox.defender_indicators() if each["indicatorValue"] == "198.51.101.7"])
    assert far.operations.call("audit", {"action": "reconcile"})["entries"][0]["actor"] == stage.ADMIN


def test_adopting_is_shown_and_changes_nothing_until_it_is_said(page: Page, far: FarLab) -> None:
    before = far.sandbox.defender_indicators()
    page.goto(far.ui(f"{BASE}/adopt"))
    page.get_by_role("button", name="Show what would be done").click()
    expect(page.get_by_role("row").filter(has_text=FOREIGN)).to_contain_text("leave")
    assert far.sandbox.defender_indicators() == before
    page.get_by_role("button", name="Adopt now").click()
    expect(page.get_by_text("Done: 0 deleted")).to_be_visible()
    assert {each["indicatorValue"] for each in before} <= {
        each["indicatorValue"] for each in far.sandbox.defender_indicators()
    }


def test_the_preview_shows_requests_without_secrets_and_makes_none(page: Page, far: FarLab) -> None:
    calls = imports(far)
    page.goto(far.ui(f"{BASE}/preview?limit=2"))
    expect(page.locator("pre").first).to_contain_text("indicatorValue")
    assert far.sandbox.client_secret not in page.content()
    assert imports(far) == calls


def test_sentinels_objects_are_counted_and_listed_as_received_and_as_shown_there(page: Page, far: FarLab) -> None:
    path = "/deliveries/sentinel/sentinel"
    there = len(far.sandbox.sentinel_objects())
    found = view(page, far, path)
    assert sum(found["has"]["types"].values()) == there
    assert set(found["has"]["confidence"]) == {"75"}
    assert found["has"]["sources"] == {"feed": 120, "sharp": 5}
    assert found["has"]["newest"] == found["items"][0]["received"]
    page.goto(far.ui(path))
    page.get_by_role("button", name="Read the workspace now").click()
    page.get_by_role("link", name="Sentinel", exact=True).click()
    expect(page.get_by_text("The workspace was read")).to_be_visible()
    expect(page.get_by_role("region", name="By confidence").get_by_role("row").last).to_contain_text(f"{there}{there}")
    expect(page.locator("table.items .badge", has_text="as sent")).to_have_count(50)
    page.get_by_role("link", name="sharp").click()
    expect(page.locator("table.items tbody tr")).to_have_count(5)
    pages = [view(page, far, path)]
    while pages[-1]["next"]:
        pages.append(view(page, far, f"{path}?after={quote(pages[-1]['next'])}"))
    seen = [each["value"] for part in pages for each in part["items"]]
    assert (len(seen), len(set(seen))) == (there, there)
    assert view(page, far, f"{path}?confidence=75&type=sha256&expires=30d")["items"]
    assert not view(page, far, f"{path}?confidence=0")["items"]
    assert view(page, far, f"{path}?whose=foreign")["items"] == []


def test_a_viewer_sees_everything_and_changes_nothing(browser: Browser, far: FarLab) -> None:
    context = stage.somebody(browser, far, "vic", role="viewer")
    page = context.new_page()
    page.goto(far.ui(BASE))
    assert page.locator("main form[method=post]").count() == 0
    before = far.sandbox.defender_indicators()
    for path in ("check", "reconcile", "retry", "adopt"):
        answer = stage.send(page, far, f"{BASE}/{path}", {"fix": "yes", "apply": "yes"})
        assert (answer.status, answer.json()["detail"][:21]) == (
            403,
            "this needs the role a" if path != "adopt" else "this needs the role e",
        )
    assert page.request.get(far.ui(f"{BASE}/adopt")).status == 403
    assert far.sandbox.defender_indicators() == before
    context.close()


def test_another_teams_delivery_is_not_there(browser: Browser, far: FarLab, page: Page) -> None:
    context = stage.somebody(browser, far, "rhea", role="editor", team="red")
    theirs = context.new_page()
    theirs.goto(far.ui("/deliveries"))
    expect(theirs.locator("tbody th a")).to_have_text(["red-defender"])
    for path in ("", "/receipts", "/queue", "/defender", "/preview", "/adopt", "/receipts/" + "0" * 32, "/defender/1"):
        answer = theirs.request.get(far.ui(BASE + path))
        assert answer.status == 400, path
        assert FOREIGN not in answer.text()
    context.close()
    page.goto(far.ui("/deliveries"))
    expect(page.locator("tbody tr")).to_have_count(4)


def test_hostile_words_in_every_parameter_are_text(page: Page, far: FarLab) -> None:
    for path, names in (
        ("", ("text", "sort")),
        ("/defender/receipts", ("state", "type", "text", "reason", "after")),
        ("/defender/queue", ("waiting", "text", "after")),
        ("/defender/defender", ("tab", "whose", "action", "severity", "by", "expires", "text", "after")),
        ("/defender/preview", ("limit",)),
        ("/sentinel/sentinel", ("whose", "type", "source", "confidence", "expires", "text", "after")),
    ):
        for name in names:
            for word in (far_stage.HOSTILE, "'; DROP TABLE receipts; --", "%", "\x00", "x" * 5000):
                answer = page.request.get(far.ui(f"/deliveries{path}?{name}={quote(word)}"))
                assert answer.status < 500, (path, name, word[:20])
                assert stage.SCRIPT not in answer.text()
    for path in ("receipts", "defender"):
        answer = page.request.get(far.ui(f"{BASE}/{path}/{quote(far_stage.HOSTILE, safe='')}"))
        assert answer.status < 500
        assert stage.SCRIPT not in answer.text()


def test_page_api_and_command_agree(far: FarLab, page: Page) -> None:
    made = far.operations.call("key_add", {"user": stage.ADMIN})["key"]
    api = page.request.get(
        f"{far.url}/api/v1/deliveries/defender/receipts?state=parked&limit=1000", headers={"authorization": made}
    )
    shown = view(page, far, f"{BASE}/receipts?state=parked")
    assert json.dumps(api.json()["receipts"]) == json.dumps(shown["receipts"])
    for path in ("far-side", "slots", "defender?whose=foreign", "preview"):
        assert page.request.get(f"{far.url}/api/v1/deliveries/defender/{path}", headers={"authorization": made}).ok
    api = page.request.get(f"{far.url}/api/v1/deliveries/sentinel/sentinel?limit=50", headers={"authorization": made})
    shown = view(page, far, "/deliveries/sentinel/sentinel")
    assert [each["key"] for each in api.json()["items"]] == [each["key"] for each in shown["items"]]
