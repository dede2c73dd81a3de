"""A feed reader signs in: which lists they may read, where, and how; the example on the page is run as it stands."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

from playwright.sync_api import Browser, Page, expect

from web import looks, stage
from web.stage import Lab

_READERS = """\
  for-friends: {kind: list, inputs: merged, max_tlp: amber, access: readers, tags: [friends], note: What friends get}
  for-others: {kind: list, inputs: merged, max_tlp: amber, access: readers, tags: [others]}
  open: {kind: list, inputs: merged, max_tlp: clear}
  collection: {kind: taxii, inputs: merged, access: readers, tags: [any]}
"""


def test_a_feed_reader_sees_their_lists_and_reads_one_as_the_page_says(
    browser: Browser, lab: Lab, inside: object, lab_page: Page
) -> None:
    text = (lab.directory / "tipline.yml").read_text()
    (lab.directory / "tipline.yml").write_text(
        text.replace("outputs:\n", f"outputs:\n{_READERS}")
        + "readers:\n  printer: {key: printers-key-of-16, tags: [others]}\n"
    )
    lab.operations.call("reload", {})
    lab.operations.call("run_once", {})
    made = {"name": "fred", "role": "reader", "team": "default", "password": stage.PASSWORD, "tags": ["friends"]}
    lab.operations.call("user_add", made)
    context = browser.new_context(reduced_motion="reduce")
    with looks.uncomplaining(context) as page:
        page.goto(lab.ui("/overview"))
        stage.enter(page, "fred")
        page.wait_for_url("**/ui/lists")
        assert page.locator("main h2").all_inner_texts() == [
            "collection",
            "for-friends",
            "open",
            "How a device signs in",
        ]
        assert page.locator(".rail nav a").all_inner_texts() == ["Lists", "Automation"]
        looks.check_page(page, lab, "/lists")
        curl = page.get_by_label("Example for for-friends").inner_text().splitlines()[0]
        answer = _run(curl.replace("fred", f"fred:{stage.PASSWORD}"))
        assert len(answer.split()) > 100
        page.get_by_text("In the form of your device").first.click()
        expect(page.get_by_role("link", name="?v=edl-ip").first).to_be_visible()
        page.get_by_role("link", name="Automation").first.click()
        page.get_by_role("button", name="Make a key").click()
        expect(page.locator(".made code")).to_be_visible()
        shown = _run(page.get_by_label("Example for curl").inner_text())
        assert '"for-friends"' in shown
        assert '"for-others"' not in shown
        looks.check_page(page, lab, "/automation")
        for path in ("/indicators", "/nodes/plain", "/deliveries", "/activity", "/administration/users", "/pipeline"):
            assert page.request.get(lab.ui(path)).status == 403, path
    context.close()
    found: Any = lab.operations.call("readers", {})
    assert [(one["name"], one["known_by"], one["outputs"]) for one in found["readers"]] == [
        ("fred", "account", ["collection", "for-friends"]),
        ("printer", "configuration", ["collection", "for-others"]),
    ]
    lab_page.goto(lab.ui("/administration/readers"))
    expect(lab_page.get_by_role("row").filter(has_text="for-friends").first).to_contain_text("friends")


def _run(command: str) -> str:
    done = subprocess.run(
        [*shlex.split(command), "-sS", "--fail"], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout
