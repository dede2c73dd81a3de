"""Coming and going, the keyboard, polling by hand, and what people with fewer rights may not do."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from playwright.sync_api import Browser, BrowserContext, Page, expect

from web import stage
from web.stage import Lab


def test_a_wrong_password_is_refused_and_the_right_one_leads_where_one_was_going(
    browser: Browser, lab: Lab, inside: object
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(lab.ui("/feeds?q=plain"))
    stage.enter(page, stage.ADMIN, "wrong")
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
    lab_page.goto(lab.ui("/nodes/plain"))
    lab_page.get_by_role("button", name="Poll now").click()
    expect(lab_page.get_by_role("status").filter(has_text="1 added")).to_be_visible()
    lab_page.goto(lab.ui("/nodes/plain"))
    assert lab_page.get_by_text("new.example.net").count() or lab_page.get_by_role("link", name="Next").count()


def test_pages_follow_what_happens(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/nodes/mine"))
    lab.operations.call("add", {"entries": [{"value": "live.example.org"}], "source": "mine"})
    expect(lab_page.get_by_text("live.example.org")).to_be_visible(timeout=20_000)


def test_a_viewer_sees_and_changes_nothing(browser: Browser, lab: Lab, inside: object) -> None:
    context = stage.somebody(browser, lab, "vic", role="viewer")
    page = context.new_page()
    page.goto(lab.ui("/feeds"))
    assert page.get_by_role("button", name="Fetch now: plain").count() == 0
    answer = stage.send(page, lab, "/nodes/plain/poll", {})
    assert (answer.status, answer.json()["what"]) == (403, "this needs the role analyst")
    context.close()


def test_a_change_without_the_pages_own_word_is_refused(lab_page: Page, lab: Lab) -> None:
    for form in ({}, {"csrf": "wrong"}):
        headers = {"origin": lab.url, "sec-fetch-site": "same-origin", "accept": "application/json"}
        answer = lab_page.request.post(lab.ui("/nodes/plain/poll"), form=form, headers=headers)
        assert (answer.status, answer.json()["what"]) == (403, "the form is out of date")
    wrong = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    assert lab_page.request.post(lab.ui("/nodes/plain/poll"), headers=wrong).status == 403


def test_the_pipeline_is_drawn_and_leads_to_nodes(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/pipeline"))
    expect(lab_page.locator("svg.canvas .node")).to_have_count(lab_page.locator("#live tbody tr").count())
    lab_page.locator("svg.canvas .node[data-name=merged]").click()
    lab_page.wait_for_url("**/ui/nodes/merged")


def test_what_flows_is_drawn_as_wide_out_of_a_processor_as_into_it(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/pipeline"))

    def width(source: str, target: str) -> float:
        line = lab_page.locator(f"svg.canvas .edge[data-source={source}][data-target={target}]")
        return float(line.get_attribute("stroke-width") or 0)

    assert width("merged", "list") >= width("plain", "merged") > width("dead", "merged")


def test_the_drawing_follows_what_happens(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/pipeline"))
    held = lab_page.locator("svg.canvas .node[data-name=mine] .sub")
    before = held.text_content() or ""
    lab.operations.call("add", {"entries": [{"value": "drawn.example.org"}], "source": "mine"})
    expect(held).not_to_have_text(before, timeout=20_000)


def test_a_failing_source_is_told_once(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/overview"))
    told = lab_page.get_by_role("region", name="Needs somebody").locator("tbody tr")
    expect(told.filter(has_text="127.0.0.1:9")).to_have_count(1)


def test_two_browsers_see_what_the_other_does(browser: Browser, lab: Lab, lab_page: Page) -> None:
    context = stage.somebody(browser, lab, "ana", role="analyst")
    other = context.new_page()
    for page in (lab_page, other):
        page.goto(lab.ui("/nodes/mine"))
        expect(page.locator(".signal")).to_have_text("Live")
    stage.send(other, lab, "/indicators/add", {"pick": "domain two.example.org", "source": "mine"})
    for page in (lab_page, other):
        expect(page.get_by_text("two.example.org")).to_be_visible(timeout=20_000)
    other.goto(lab.ui("/activity?actor=ana"))
    lab_page.goto(lab.ui("/activity?actor=ana"))
    for page in (lab_page, other):
        expect(page.locator("#live tbody tr").first).to_contain_text("ana")
    context.close()


def test_moments_are_the_readers_with_utc_on_hover_and_numbers_have_separators(
    browser: Browser, lab: Lab, inside: BrowserContext
) -> None:
    context = browser.new_context(storage_state=inside.storage_state(), timezone_id="Asia/Tokyo")
    page = context.new_page()
    page.goto(lab.ui("/activity"))
    moment = page.locator("time[data-form=full]").first
    utc = datetime.fromisoformat(moment.get_attribute("datetime") or "")
    expect(moment).to_have_text(f"{utc + timedelta(hours=9):%Y-%m-%d %H:%M:%S}")
    expect(moment).to_have_attribute("title", re.compile(f"{utc:%Y-%m-%d %H:%M:%S} UTC$"))
    page.goto(lab.ui("/administration/lists"))
    expect(page.get_by_role("row").filter(has_text="never-block")).to_contain_text(re.compile(r"\d,\d{3}"))
    context.close()


def test_a_session_that_ends_says_so_and_leads_back(browser: Browser, lab: Lab, inside: object) -> None:
    context = stage.somebody(browser, lab, "gil", role="analyst")
    page = context.new_page()
    page.goto(lab.ui("/nodes/mine?period=7d"))
    expect(page.locator(".signal")).to_have_text("Live")
    lab.operations.call("sessions_end", {"user": "gil"})
    lab.operations.call("add", {"entries": [{"value": "later.example.org"}], "source": "mine"})
    expect(page.get_by_text("Your session has ended")).to_be_visible(timeout=30_000)
    assert page.get_by_text("later.example.org").count() == 0
    answer = stage.send(page, lab, "/nodes/plain/poll", {})
    assert (answer.status, answer.json()["what"]) == (401, "you are not signed in")
    page.get_by_role("link", name="Sign in again").click()
    stage.enter(page, "gil")
    page.wait_for_url("**/ui/nodes/mine?period=7d")
    expect(page.get_by_text("later.example.org")).to_be_visible()
    context.close()


def test_what_somebody_wrote_outlives_their_session(browser: Browser, lab: Lab, inside: object) -> None:
    context = stage.somebody(browser, lab, "hal", role="analyst")
    page = context.new_page()
    page.goto(lab.ui("/automation"))
    page.get_by_label("What it is for").fill("a long and careful text")
    lab.operations.call("sessions_end", {"user": "hal"})
    page.get_by_role("button", name="Make a key").click()
    expect(page.get_by_text("What you wrote stays on this page")).to_be_visible()
    expect(page.get_by_label("What it is for")).to_have_value("a long and careful text")
    with context.expect_page() as opened:
        page.get_by_role("link", name="Sign in again").click()
    stage.enter(opened.value, "hal")
    opened.value.wait_for_url("**/ui/automation")
    page.get_by_role("button", name="Make a key").click()
    expect(page.locator(".made code")).to_be_visible()
    assert [each["label"] for each in lab.operations.call("keys", {"user": "hal"})["keys"]] == [
        "a long and careful text"
    ]
    lab.operations.call("sessions_end", {"user": "hal"})
    page.goto(lab.ui("/sign-in"))
    stage.enter(page, stage.ADMIN)
    page.wait_for_url("**/ui/overview")
    context.close()
