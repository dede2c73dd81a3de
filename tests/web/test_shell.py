"""Coming and going, the keyboard, polling by hand, and what people with fewer rights may not do."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from web import stage
from web.stage import Lab


def ours(lab: Lab) -> dict[str, str]:
    """What a browser sends with a form of one of our pages."""
    return {"origin": lab.url, "sec-fetch-site": "same-origin", "accept": "application/json"}


def test_a_wrong_password_is_refused_and_the_right_one_leads_where_one_was_going(
    browser: Browser, lab: Lab, inside: object
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(lab.ui("/feeds?q=plain"))
    page.fill("[name=name]", stage.ADMIN)
    page.fill("[name=password]", "wrong")
    page.click("form button")
    expect(page.get_by_role("alert").first).to_be_visible()
    page.fill("[name=password]", stage.PASSWORD)
    page.click("form button")
    page.wait_for_url("**/ui/feeds?q=plain")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/ui/sign-in")
    page.goto(lab.ui("/overview"))
    assert "/sign-in" in page.url
    context.close()


def test_the_keyboard_leads_to_pages_and_to_the_search(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/overview"))
    expect(lab_page.locator(".signal")).to_have_text("Live")
    lab_page.keyboard.press("g")
    lab_page.keyboard.press("f")
    lab_page.wait_for_url("**/ui/feeds")
    expect(lab_page.locator(".signal")).to_have_text("Live")
    lab_page.keyboard.press("/")
    lab_page.keyboard.type("plain")
    lab_page.keyboard.press("Enter")
    lab_page.wait_for_url(re.compile("q=plain"))
    expect(lab_page.locator("tbody tr")).to_have_count(1)
    expect(lab_page.locator(".signal")).to_have_text("Live")
    lab_page.locator("h1").click()
    lab_page.keyboard.press("?")
    expect(lab_page.get_by_role("dialog")).to_be_visible()


def test_a_source_is_polled_by_hand_and_the_account_is_shown(lab_page: Page, lab: Lab) -> None:
    with (lab.directory / "plain.txt").open("a") as file:
        file.write("new.example.net\n")
    lab_page.goto(lab.ui("/feeds"))
    lab_page.get_by_role("button", name="Poll now: plain").click()
    lab_page.wait_for_url("**/ui/nodes/plain")
    expect(lab_page.get_by_role("status").filter(has_text="1 added")).to_be_visible()
    assert lab_page.get_by_text("new.example.net").count() or lab_page.get_by_role("link", name="Next").count()


def test_pages_follow_what_happens(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/nodes/mine"))
    lab.operations.call("add", {"entries": [{"value": "live.example.org"}], "source": "mine"})
    expect(lab_page.get_by_text("live.example.org")).to_be_visible(timeout=20_000)


def test_a_viewer_sees_and_changes_nothing(browser: Browser, lab: Lab, inside: object) -> None:
    lab.operations.call("user_add", {"name": "vic", "role": "viewer", "team": "default", "password": stage.PASSWORD})
    context = browser.new_context()
    page = context.new_page()
    page.goto(lab.ui("/feeds"))
    page.fill("[name=name]", "vic")
    page.fill("[name=password]", stage.PASSWORD)
    page.click("form button")
    page.wait_for_url("**/ui/feeds")
    assert page.get_by_role("button", name="Poll now: plain").count() == 0
    token = page.locator("[name=csrf]").first.get_attribute("value") or ""
    answer = page.request.post(lab.ui("/nodes/plain/poll"), form={"csrf": token}, headers=ours(lab))
    assert (answer.status, answer.json()["what"]) == (403, "this needs the role analyst")
    context.close()


def test_a_change_without_the_pages_own_word_is_refused(lab_page: Page, lab: Lab) -> None:
    for form in ({}, {"csrf": "wrong"}):
        answer = lab_page.request.post(lab.ui("/nodes/plain/poll"), form=form, headers=ours(lab))
        assert (answer.status, answer.json()["what"]) == (403, "the form is out of date")
    wrong = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert lab_page.request.post(lab.ui("/nodes/plain/poll"), headers=wrong).status == 403


def test_the_pipeline_is_drawn_and_leads_to_nodes(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/pipeline"))
    expect(lab_page.locator("svg.canvas .node")).to_have_count(lab_page.locator("#live tbody tr").count())
    lab_page.locator("svg.canvas .node[data-name=merged]").click()
    lab_page.wait_for_url("**/ui/nodes/merged")
