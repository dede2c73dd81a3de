"""Editing the pipeline as people do: from the library, by form, by YAML, two at once, and the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from web import looks, stage
from web.stage import Lab

PAGES = [
    "/pipeline/add?q=feodo",
    "/pipeline/new?sort=source&kind=csv",
    "/pipeline/new?entry=abusech-feodo-ip",
    "/nodes/list/edit",
    "/pipeline/candidate",
    "/pipeline/plan",
    "/pipeline/text",
    "/pipeline/history",
    "/pipeline/history/1",
]


@pytest.fixture(autouse=True)
def _nothing_is_edited(lab: Lab) -> Iterator[None]:
    """Every test begins and ends without a candidate."""
    lab.operations.call("draft_discard", {})
    yield
    lab.operations.call("draft_discard", {})


def _file(lab: Lab) -> str:
    return (lab.directory / "tipline.yml").read_text()


def _version(lab: Lab) -> int:
    found: int = lab.operations.call("draft", {})["version"]
    return found


def _commit(page: Page, message: str) -> None:
    page.fill("[name=message]", message)
    page.get_by_role("button", name="Commit").click()
    page.wait_for_url("**/pipeline/history/*")


def _drafted(lab: Lab) -> None:
    """A candidate that changes, adds and removes."""
    node = lab.operations.call("draft_node", {"name": "plain"})
    text = node["text"].replace("confidence: 80", "confidence: 60")
    lab.operations.call("draft_put", {"section": "sources", "name": "plain", "text": text, "seen": node["seen"]})
    lab.operations.call("draft_put", {"section": "sources", "name": "more", "settings": {"kind": "local"}})
    node = lab.operations.call("draft_node", {"name": "defender"})
    lab.operations.call("draft_drop", {"name": "defender", "seen": node["seen"]})


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_runs_nothing_and_is_also_json(lab_page: Page, lab: Lab, path: str) -> None:
    _drafted(lab)
    looks.check_page(lab_page, lab, path)


def test_a_feed_is_added_from_the_library_planned_committed_and_polled(
    lab_page: Page, lab: Lab, tmp_path: Path
) -> None:
    page = lab_page
    feed = tmp_path / "feodo.txt"
    feed.write_text("203.0.114.201\n203.0.114.202\n")
    page.goto(lab.ui("/pipeline"))
    page.get_by_role("link", name="Add a node").click()
    page.get_by_label("Find a feed").fill("feodo recommended")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=feodo*")
    row = page.locator("tr", has_text="abusech-feodo-ip-text")
    expect(row).to_contain_text("CC0")
    row.get_by_role("link", name="Add").click()
    page.wait_for_url("**/pipeline/new?entry=*")
    page.fill("#name", "feodo")
    page.fill("[name='set.url']", f"file://{feed}")
    expect(page.locator("#yaml")).to_have_value(re.compile(re.escape(f"url: file://{feed}")))
    page.get_by_role("button", name="Keep in the candidate").click()
    page.wait_for_url("**/pipeline/candidate")
    expect(page.get_by_role("heading", name="feodo")).to_contain_text("added")
    expect(page.get_by_text("no node reads feodo")).to_be_visible()
    # What the library says of it stands in its note; a node that reads it is edited next.
    page.goto(lab.ui("/nodes/merged/edit"))
    page.get_by_role("group", name="inputs").get_by_role("checkbox", name="feodo").check()
    expect(page.locator("#yaml")).to_have_value(re.compile("mine, feodo"))
    page.get_by_role("button", name="Keep, and see the plan").click()
    page.wait_for_url("**/pipeline/plan")
    expect(page.get_by_text("polled as soon as it runs")).to_be_visible()
    _commit(page, "one more feed")
    expect(page.get_by_role("status").filter(has_text="runs.")).to_be_visible()
    page.goto(lab.ui("/nodes/feodo"))
    expect(page.locator(".figure").first).to_contain_text("2")
    assert "feodo:\n    kind: lines" in _file(lab)


def test_settings_are_changed_by_form_and_the_rest_stays_to_the_letter(lab_page: Page, lab: Lab) -> None:
    page, before = lab_page, _file(lab)
    page.goto(lab.ui(f"/nodes/{stage.NODE}/edit"))
    page.fill("[name='set.every']", "2h")
    page.fill("[name='set.confidence']", "70")
    expect(page.locator("#yaml")).to_have_value(re.compile("every: 2h\nconfidence: 70\n$"))
    page.get_by_role("button", name="Keep, and see the plan").click()
    page.wait_for_url("**/pipeline/plan")
    expect(page.get_by_role("row", name=re.compile("defender"))).to_contain_text("changed")
    _commit(page, "every two hours")
    note = next(line for line in before.splitlines(keepends=True) if line.lstrip().startswith("note:"))
    assert _file(lab) == before.replace(note, f"{note}    every: 2h\n    confidence: 70\n")


def test_settings_are_changed_as_yaml_and_the_form_follows(lab_page: Page, lab: Lab) -> None:
    page = lab_page
    page.goto(lab.ui("/nodes/plain/edit"))
    text = page.locator("#yaml").input_value()
    page.fill("#yaml", text.rstrip().rstrip("}") + ", tags: [a, b]}  # for now")
    expect(page.locator("[name='set.tags']")).to_have_value("a\nb")
    page.get_by_role("button", name="Keep, and see the plan").click()
    page.wait_for_url("**/pipeline/plan")
    _commit(page, "tags")
    assert "tags: [a, b]}  # for now" in _file(lab)


def test_what_is_wrong_is_said_at_its_line_and_its_field_while_one_types(lab_page: Page, lab: Lab) -> None:
    page = lab_page
    page.goto(lab.ui(f"/nodes/{stage.NODE}/edit"))
    page.fill("#yaml", "kind: csv\nurl: x\n\nheadder: true\nconfidence: 200\n")
    expect(page.locator("#found")).to_contain_text("did you mean header?")
    expect(page.locator(".gutter .bad")).to_have_text(["4", "5"])
    expect(page.locator("[data-path=confidence] .problems")).to_contain_text("less than or equal to 100")
    assert looks.problems(page) == []
    page.locator("#found button").first.click()
    start, end = page.locator("#yaml").evaluate("field => [field.selectionStart, field.selectionEnd]")
    assert page.locator("#yaml").input_value()[start:end] in {"headder: true", "confidence: 200"}
    page.fill("#yaml", "kind: csv\nurl: [x\n")
    expect(page.locator("#found")).to_contain_text("not valid YAML")
    page.fill("#yaml", "kind: lines\nurl: x\n")
    expect(page.locator("#found")).to_contain_text("stays one")
    # What is wrong can be kept, and is told; it cannot be put to work.
    page.fill("#yaml", "kind: csv\nurl: x\nconfidence: 200\n")
    expect(page.locator("#found")).to_contain_text("less than or equal")
    page.get_by_role("button", name="Keep, and see the plan").click()
    page.wait_for_url("**/pipeline/plan")
    expect(page.get_by_text("The candidate has errors")).to_be_visible()
    expect(page.get_by_role("button", name="Commit")).to_have_count(0)


def test_a_secret_is_entered_and_never_shown(lab_page: Page, lab: Lab) -> None:
    page = lab_page
    page.goto(lab.ui("/nodes/dead/edit"))
    page.fill("[data-find-setting]", "bearer")
    setting = page.locator("[data-path=bearer]")
    setting.locator("summary").click()
    setting.locator("[data-secret]").fill("open-sesame-7")
    setting.get_by_role("button", name="Keep").click()
    expect(setting.locator("[name='set.bearer']")).to_have_value("${secret:dead.bearer}")
    expect(page.locator("#yaml")).to_have_value(re.compile(r"bearer: .?\$\{secret:dead\.bearer\}"))
    page.get_by_role("button", name="Keep in the candidate").click()
    page.wait_for_url("**/pipeline/candidate")
    assert "open-sesame-7" not in page.content()
    assert "open-sesame-7" not in _file(lab)
    # A secret that stands in the file is hidden on every page, and stays.
    for path in ("/pipeline/text", "/nodes/list/edit", "/pipeline/history/1"):
        page.goto(lab.ui(path))
        assert "a-key-that-is-long-enough" not in page.content()
        assert "a-key-that-is-long-enough" not in page.request.get(f"{lab.ui(path)}?format=json").text()


def test_two_people_at_once_are_told_and_nothing_is_lost(lab_page: Page, lab: Lab, browser: Browser) -> None:
    ann, context = lab_page, stage.somebody(browser, lab, "bob", role="editor")
    bob = context.new_page()
    for page in (ann, bob):
        page.goto(lab.ui("/nodes/plain/edit"))
        expect(page.locator(".signal")).to_have_text("Live")
    bob.fill("[name='set.every']", "3h")
    expect(bob.locator("#yaml")).to_have_value(re.compile("every: 3h"))
    bob.get_by_role("button", name="Keep in the candidate").click()
    bob.wait_for_url("**/pipeline/candidate")
    # Live: ann has not done anything yet.
    expect(ann.get_by_role("alert").filter(has_text="bob changed plain since you began")).to_be_visible()
    ann.fill("[name='set.every']", "4h")
    expect(ann.locator("#yaml")).to_have_value(re.compile("every: 4h"))
    ann.get_by_role("button", name="Keep in the candidate").click()
    expect(ann.get_by_role("heading", name="What stands there now")).to_be_visible()
    expect(ann.locator("pre", has_text="every: 3h")).to_be_visible()
    ann.get_by_role("button", name="Put mine in its place").click()
    ann.wait_for_url("**/pipeline/candidate")
    expect(ann.get_by_role("region", name="Change of plain")).to_contain_text("every: 4h")
    # bob looks at the plan; ann changes the candidate: what bob has seen is not what he would commit.
    bob.goto(lab.ui("/pipeline/plan"))
    revision = bob.locator("[name=revision]").input_value()
    late = {"section": "sources", "name": "late", "settings": {"kind": "local"}}
    lab.operations.call("draft_put", {**late, "user": "ann"})
    answer = stage.send(bob, lab, "/pipeline/commit", {"message": "x", "revision": revision})
    assert answer.status == 409
    context.close()


def test_a_version_put_to_work_meanwhile_is_told_and_one_says_which_change_holds(lab_page: Page, lab: Lab) -> None:
    page = lab_page
    node = lab.operations.call("draft_node", {"name": "mine"})
    body = {"kind": "local", "tlp": "green", "note": "ours"}
    lab.operations.call("draft_put", {"section": "sources", "name": "mine", "settings": body, "seen": node["seen"]})
    page.goto(lab.ui("/pipeline/candidate"))
    expect(page.locator(".signal")).to_have_text("Live")
    change = {"section": "sources", "name": "mine", "settings": {**body, "note": "theirs"}, "base": _version(lab)}
    lab.operations.call("put_node", {**change, "message": "by key", "user": "carol"})
    expect(page.get_by_text(re.compile("carol put version \\d+ to work"))).to_be_visible()
    page.get_by_role("radio", name="The candidate's").check()
    page.get_by_role("button", name="These hold").click()
    expect(page.get_by_role("region", name="Change of mine")).to_contain_text("note: ours")


def test_a_version_is_looked_at_and_put_to_work_again(lab_page: Page, lab: Lab) -> None:
    page, before = lab_page, _file(lab)
    node = lab.operations.call("draft_node", {"name": "mine"})
    lab.operations.call("draft_put", {"section": "sources", "name": "mine", "settings": {"kind": "local", "tlp": "red"},
                                      "seen": node["seen"]})  # fmt: skip
    revision = lab.operations.call("draft", {})["revision"]
    old = _version(lab)
    lab.operations.call("draft_commit", {"message": "all red", "revision": revision})
    page.goto(lab.ui("/pipeline/history"))
    expect(page.locator("tbody tr").first).to_contain_text("all red")
    page.locator("tbody tr").nth(1).get_by_role("link").click()
    page.get_by_role("link", name="Against what runs now").click()
    expect(page.get_by_role("region", name="Change of mine")).to_contain_text("tlp: red")
    page.fill("[name=message]", "it was too much")
    page.get_by_role("button", name=f"Put version {old} to work again").click()
    page.wait_for_url(f"**/pipeline/history/{old + 2}")
    assert _file(lab) == before


def test_a_change_is_taken_back_and_a_node_removed(lab_page: Page, lab: Lab) -> None:
    page = lab_page
    page.goto(lab.ui("/nodes/defender/edit"))
    page.get_by_role("button", name="Remove defender").click()
    page.wait_for_url("**/pipeline/plan")
    expect(page.get_by_role("row", name=re.compile("^defender"))).to_contain_text("gone")
    page.goto(lab.ui("/pipeline/candidate"))
    page.get_by_role("button", name="Take back: defender").click()
    expect(page.get_by_text("Nothing is being edited.")).to_be_visible()


def test_the_whole_text_is_edited(lab_page: Page, lab: Lab) -> None:
    page = lab_page
    page.goto(lab.ui("/pipeline/text"))
    text = page.locator("#yaml").input_value()
    page.fill("#yaml", "# Ours.\n" + text.replace("kind: lines", "kind: linse", 1))
    expect(page.locator("#found")).to_contain_text("did you mean lines?")
    page.fill("#yaml", "# Ours.\n" + text)
    page.get_by_role("button", name="Keep in the candidate").click()
    page.wait_for_url("**/pipeline/candidate")
    expect(page.get_by_text("Only remarks, spaces or the order of nodes changed.")).to_be_visible()


@pytest.mark.parametrize("role", ["viewer", "analyst"])
def test_who_may_not_edit_sees_no_way_to_and_is_refused(browser: Browser, lab: Lab, role: str) -> None:
    context = stage.somebody(browser, lab, f"may-{role}", role=role)
    page = context.new_page()
    page.goto(lab.ui("/pipeline"))
    expect(page.get_by_role("link", name="Add a node")).to_have_count(0)
    page.goto(lab.ui("/nodes/plain"))
    expect(page.get_by_role("link", name="Edit", exact=True)).to_have_count(0)
    for path in ("/pipeline/add", "/nodes/plain/edit", "/pipeline/candidate", "/pipeline/plan", "/pipeline/history"):
        assert page.request.get(lab.ui(path)).status == 403
    for path in ("/pipeline/keep", "/pipeline/commit", "/nodes/plain/drop", "/pipeline/history/1/revert"):
        assert stage.send(page, lab, path, {"name": "x", "section": "sources"}).status == 403
    context.close()


def test_what_a_source_said_last_is_text_and_a_file(lab_page: Page, lab: Lab) -> None:
    lab.operations.call("poll", {"source": stage.NODE})
    lab_page.goto(lab.ui(f"/nodes/{stage.NODE}"))
    expect(lab_page.locator("#body + a, header:has(#body) a")).to_have_text(re.compile("Download"))
    expect(lab_page.locator("pre", has_text=stage.SCRIPT)).to_be_visible()
    answer = lab_page.request.get(lab.ui(f"/nodes/{stage.NODE}/body"))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert stage.SCRIPT in answer.text()
