"""Overriding an indicator of a Defender tenant on its page, as an analyst would, against the stand-in."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from web import looks, stage
from web.far_stage import FOREIGN, FarLab

VALUE = "198.51.101.7"
BASE = "/deliveries/defender"


@pytest.fixture(scope="module")
def path(far: FarLab) -> str:
    items = far.operations.call("defender_items", {"output": "defender", "wanted": {"text": VALUE}})["items"]
    return f"{BASE}/defender/{items[0]['key']}"


def there(far: FarLab) -> list[dict[str, Any]]:
    return [row for row in far.sandbox.defender_indicators() if row["indicatorValue"] == VALUE]


def until_there(far: FarLab, action: str) -> None:
    end = time.monotonic() + 30
    while [row["action"] for row in there(far)] != [action]:
        assert time.monotonic() < end, there(far)
        time.sleep(0.05)


def test_blocking_is_refused_until_it_is_meant_then_shown_and_taken_back(page: Page, far: FarLab, path: str) -> None:
    page.goto(far.ui(path))
    page.get_by_label("Response action").select_option("Block")
    page.get_by_label("Alert severity").select_option("High")
    page.get_by_label("Reason").fill("ticket 9")
    page.get_by_label("The override holds").select_option("7d")
    page.get_by_role("button", name="Override").click()
    expect(page.get_by_role("alert").filter(has_text="Block blocks 198.51.101.7")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("ticket 9")
    page.get_by_label("I mean it").check()
    page.get_by_role("button", name="Override").click()
    expect(page.get_by_role("status").filter(has_text="is overridden")).to_be_visible()
    until_there(far, "Block")
    page.goto(far.ui(f"{BASE}/defender?edited=true"))
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("edited")
    looks.check_page(page, far, path)
    looks.check_page(page, far, f"{BASE}/overrides")
    expect(page.locator("tbody tr")).to_contain_text("ticket 9")
    page.get_by_role("link", name=VALUE).click()
    expect(page.get_by_text("overridden by ann: ticket 9")).to_be_visible()
    page.goto(far.ui(path))
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("status").filter(has_text="as the output says again")).to_be_visible()
    until_there(far, "Audit")


def test_what_somebody_changed_meanwhile_is_told(page: Page, far: FarLab, path: str) -> None:
    page.goto(far.ui(path))
    far.operations.call(
        "override",
        {"output": "defender", "value": VALUE, "changes": {"severity": "Low"}, "reason": "first", "user": "bob"},
    )
    page.get_by_label("Alert severity").select_option("High")
    page.get_by_label("Reason").fill("second")
    page.get_by_role("button", name="Override").click()
    expect(page.get_by_role("alert").filter(has_text="bob has overridden it since")).to_be_visible()
    far.operations.call("override_remove", {"output": "defender", "value": VALUE})


def test_somebody_elses_item_has_no_form_and_a_viewer_none_either(
    page: Page, far: FarLab, path: str, browser: Browser
) -> None:
    items = far.operations.call(
        "defender_items", {"output": "defender", "wanted": {"text": FOREIGN, "whose": "foreign"}}
    )
    foreign = f"{BASE}/defender/{items['items'][0]['far_id']}"
    page.goto(far.ui(foreign))
    expect(page.get_by_text("Adopt it to make it ours")).to_be_visible()
    assert page.get_by_label("Response action").count() == 0
    refused = stage.send(page, far, foreign, {"severity": "High", "reason": "x", "seen": ""})
    assert refused.status == 400, refused.text()
    context = stage.somebody(browser, far, "vera", role="viewer")
    theirs = context.new_page()
    theirs.goto(far.ui(path))
    assert theirs.get_by_label("Response action").count() == 0
    assert stage.send(theirs, far, path, {"severity": "High", "reason": "x", "seen": ""}).status == 403
    context.close()
