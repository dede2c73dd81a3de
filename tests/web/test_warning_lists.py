"""Warning lists by their pages: switched, added, looked through; hits lead to the indicators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from web import looks, stage
from web.stage import Lab

HERE = "/administration/warning-lists"


@pytest.fixture(scope="module", autouse=True)
def own(lab: Lab) -> Path:
    """A list of one's own with what must never become more than text."""
    entries = ["198.51.101.0/24", *(f"203.0.{n}.0/24" for n in range(250))]
    path = lab.directory / "own.json"
    found = {"name": stage.SCRIPT, "description": stage.CONTROL + stage.FORMULA, "type": "cidr", "list": entries}
    path.write_text(json.dumps(found))
    lab.operations.call("warning_list_add", {"name": "own", "url": str(path)})
    odd = lab.directory / "odd.json"
    odd.write_text(json.dumps({**found, "type": "substring", "list": [stage.SCRIPT, stage.CONTROL, "example"]}))
    lab.operations.call("warning_list_add", {"name": "odd", "url": str(odd)})
    return path


@pytest.mark.parametrize(
    "path",
    [
        HERE, f"{HERE}?text=dns&state=off", f"{HERE}/own", f"{HERE}/odd", f"{HERE}/public-dns-v4?text=8.8.8&start=0",
        "/feeds/overlap", "/indicators?tag=warning-list:own", "/indicators/detail?value=203.0.114.10",
    ],
)  # fmt: skip
def test_a_page_is_accessible_runs_nothing_and_is_also_json(lab_page: Page, lab: Lab, path: str) -> None:
    looks.check_page(lab_page, lab, path)


def test_a_list_is_found_switched_and_its_entries_are_searched(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui(HERE))
    lab_page.get_by_label("List", exact=True).fill("public resolvers ipv6")
    lab_page.keyboard.press("Enter")
    lab_page.get_by_role("button", name="Use public-dns-v6").click()
    expect(lab_page.get_by_role("status").filter(has_text="public-dns-v6 is in use")).to_be_visible()
    assert lab.operations.call("warning_list", {"name": "public-dns-v6"})["enabled"]
    lab_page.get_by_role("link", name="public-dns-v6").click()
    lab_page.get_by_label("Entry").fill("2001:4860:4860::8888")
    lab_page.keyboard.press("Enter")
    expect(lab_page.get_by_role("cell", name="2001:4860:4860::8888", exact=True)).to_be_visible()
    lab_page.get_by_role("button", name="Switch off").click()
    expect(lab_page.get_by_role("status").filter(has_text="public-dns-v6 is off")).to_be_visible()


def test_hits_lead_to_the_indicators_and_these_name_their_lists(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui(f"{HERE}/own"))
    lab_page.get_by_role("link", name="Show them: plain").click()
    lab_page.get_by_role("link", name="203.0.114.10", exact=True).click()
    warned = lab_page.get_by_role("region", name="On warning lists")
    expect(warned.get_by_role("cell", name="203.0.114.0/24")).to_be_visible()
    warned.get_by_role("link", name="own").click()
    lab_page.wait_for_url(f"**{HERE}/own")


def test_a_list_drops_is_held_taken_in_and_removed(lab_page: Page, lab: Lab, own: Path) -> None:
    lab_page.goto(lab.ui(f"{HERE}/own"))
    lab_page.get_by_label("What it does").select_option("drop")
    lab_page.get_by_role("button", name="Save").click()
    expect(lab_page.get_by_role("status").filter(has_text="own was changed")).to_be_visible()
    assert lab.operations.call("warning_list", {"name": "own"})["action"] == "drop"
    own.write_text(json.dumps({"name": "n", "description": "d", "type": "cidr", "list": ["203.0.113.0/24"]}))
    lab_page.get_by_role("button", name="Fetch now").click()
    expect(lab_page.get_by_role("alert").filter(has_text="only 1 are left")).to_be_visible()
    lab_page.get_by_role("button", name="Take it in as it is").click()
    expect(lab_page.get_by_role("status").filter(has_text="own has changed")).to_be_visible()
    lab_page.get_by_role("button", name="Remove own").click()
    expect(lab_page.get_by_role("status").filter(has_text="own was removed")).to_be_visible()


def test_all_lists_and_a_new_one(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui(HERE))
    lab_page.get_by_role("checkbox", name="known").check()
    lab_page.get_by_role("button", name="Save").click()
    expect(lab_page.get_by_role("status").filter(has_text="were changed")).to_be_visible()
    assert lab.operations.call("warning_lists", {})["drop"] == ["known"]
    (lab.directory / "new.json").write_text("{}")
    form = lab_page.get_by_role("region", name="A list of your own")
    form.get_by_label("Name").fill("new")
    form.get_by_label("Address").fill(str(lab.directory / "new.json"))
    form.get_by_role("button", name="Add").click()
    expect(lab_page.get_by_role("status").filter(has_text="no warning list of MISP's")).to_be_visible()
    lab.operations.call("warning_list_remove", {"name": "new"})


def test_they_are_for_admins(browser: Browser, lab: Lab) -> None:
    context = stage.somebody(browser, lab, "eda", role="editor")
    page = context.new_page()
    for path in (HERE, f"{HERE}/microsoft"):
        assert page.request.get(lab.ui(path)).status == 403
    context.close()
