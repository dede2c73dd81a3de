"""The pages of feeds as people use them: the library, a look before adding, edits, switches, MISP's list, and the story
of Microsoft's COVID-19 feed from a form to Sentinel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tipline.api.serving import served
from tipline.config.check import load
from tipline.demo.feeds import FeedServer, packaged
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.sandbox import Sandbox
from web import looks, stage
from web.stage import ADMIN, PASSWORD, SCRIPT, Lab

_CONFIG = """\
# ours
sources:
  by-hand: {{kind: local}}
processors:
  merged: {{kind: aggregate, inputs: by-hand}}
outputs:
  sentinel:
    kind: microsoft-sentinel
    inputs: merged
    workspace_id: {workspace}
    credentials: {{tenant_id: {tenant}, client_id: {client}, client_secret: {secret}, ca_file: {ca}, login_url: {login},
      sentinel_url: {sentinel}, arm_url: {arm}}}
"""


@contextmanager
def _served(directory: Path, sandbox: Sandbox) -> Iterator[Lab]:
    names = {
        "workspace": sandbox.workspace_id, "tenant": sandbox.tenant_id, "client": sandbox.client_id,
        "secret": sandbox.client_secret, "ca": sandbox.ca_file, "login": sandbox.login_url,
        "sentinel": sandbox.sentinel_url, "arm": sandbox.arm_url,
    }  # fmt: skip
    (directory / "tipline.yml").write_text(_CONFIG.format(**names))
    with Engine(load(directory / "tipline.yml")) as engine:
        Accounts(engine.control, engine.clock).add(ADMIN, role="admin", team="default", password=PASSWORD)
        with served(engine, [("127.0.0.1", 0)]) as (urls, scheduler):
            yield Lab(urls[0], Operations(engine, scheduler), directory)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server that feeds the stand-in for Sentinel."""
    directory = tmp_path_factory.mktemp("story")
    with Sandbox(directory / "microsoft", rate_limits=False) as sandbox, _served(directory, sandbox) as found:
        yield found


@pytest.fixture(scope="module")
def entered(browser: Browser, story: Lab) -> Iterator[BrowserContext]:
    context = stage.signed_in(browser, story)
    yield context
    context.close()


@pytest.fixture
def page(entered: BrowserContext) -> Iterator[Page]:
    with looks.uncomplaining(entered) as found:
        yield found


def settings_of(lab: Lab, name: str) -> Any:
    return lab.operations.engine.configuration.sources[name].settings


def text_of(lab: Lab) -> str:
    return (lab.directory / "tipline.yml").read_text()


def test_the_covid_feed_from_a_form_to_sentinel(page: Page, story: Lab) -> None:
    """MISP's lab: a CSV feed, value field 2, fixed event, published by itself, hourly; 295 sent, 295 accepted."""
    with FeedServer() as feeds:
        page.goto(story.ui("/feeds"))
        page.get_by_role("link", name="Add a feed").click()
        page.get_by_text("Or a sample of it").click()
        sample = {"name": "covid-19.csv", "mimeType": "text/csv", "buffer": packaged("covid19/003.csv")}
        page.set_input_files("[name=file]", sample)  # type: ignore[arg-type]
        page.get_by_role("button", name="Look at it").click()
        expect(page.get_by_role("heading", name="What it would bring")).to_be_visible(timeout=30_000)
        expect(page.get_by_text("295 of 295 rows are indicators")).to_be_visible()
        expect(page.get_by_label("columns.value", exact=False)).to_have_value("2")
        assert looks.problems(page) == []
        page.fill("[name=name]", "covid-19")
        page.fill("[name='set.url']", f"{feeds.url}/covid19.csv")
        page.fill("[name='set.every']", "1h")
        page.select_option("[name='set.event.fixed']", "true")
        page.select_option("[name='set.event.publish']", "true")
        expect(page.locator("[data-path='event.fixed'] .help")).to_contain_text("event store")
        page.select_option("[name='set.tlp']", "clear")
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        page.select_option("[name='set.allow_private']", "true")
        expect(page.get_by_label("merged")).to_be_checked()
        page.fill("[name=message]", "Microsoft's COVID-19 indicators")
        page.get_by_role("button", name="Add the feed").click()
        page.wait_for_url("**/ui/feeds")
        expect(page.get_by_role("row").filter(has_text="covid-19")).to_contain_text("295", timeout=30_000)
    made = settings_of(story, "covid-19")
    assert (made.event.fixed, made.event.publish, made.columns.value, made.every.total_seconds()) == (
        True,
        True,
        [2],
        3600,
    )
    assert "inputs: [by-hand, covid-19]" in text_of(story)
    assert story.operations.call("history", {})["versions"][0]["message"] == "Microsoft's COVID-19 indicators"
    page.goto(story.ui("/deliveries/sentinel"))
    for word in ("sent", "accepted"):
        figure = page.locator(".figure", has_text=word).first
        expect(figure).to_contain_text("295", timeout=30_000)


def test_a_private_address_is_refused_and_the_form_stays(page: Page, story: Lab) -> None:
    page.goto(story.ui("/feeds/add"))
    page.fill("[name=at]", "http://127.0.0.1:9/x.csv")
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("alert")).to_contain_text("127.0.0.1")
    expect(page.locator("[name=at]")).to_have_value("http://127.0.0.1:9/x.csv")


def test_a_look_shows_drops_as_text_and_settings_are_tried_before_they_are_kept(page: Page, story: Lab) -> None:
    before = text_of(story)
    page.goto(story.ui("/feeds/add"))
    page.get_by_text("Or a sample of it").click()
    page.fill("[name=sample]", f"one;evil.example.org\n{SCRIPT};other.example.org\n")
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("2 of 2 rows are indicators")).to_be_visible(timeout=30_000)
    page.fill("[name='set.columns.value']", "1")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("0 of 2 rows are indicators")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("region", name="Dropped rows")).to_contain_text(SCRIPT)
    assert page.locator("main script").count() == 0
    page.fill("[name=name]", "x y")
    page.get_by_role("button", name="Add the feed").click()
    assert page.url.endswith("/feeds/add")  # the browser asks for a name that can be
    page.fill("[name=name]", "sample")
    page.get_by_role("button", name="Add the feed").click()
    expect(page.locator(".setting.wrong[data-path=url]")).to_be_visible()
    assert text_of(story) == before


def test_a_feed_is_edited_with_a_password_that_is_never_shown(page: Page, story: Lab, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("evil.example.net\n")
    made = {"kind": "lines", "url": f"file://{tmp_path}/list.txt", "confidence": 40}
    story.operations.call("feed_add", {"name": "edited", "settings": made})
    page.goto(story.ui("/feeds/edited/edit"))
    page.fill("[name='set.confidence']", "45")
    page.get_by_text("Signing in").click()
    page.fill("[name='set.basic.username']", "me")
    field = page.locator("[name='set.basic.password']")
    field.fill("geheim")
    assert field.get_attribute("type") == "password"
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/ui/feeds")
    now = settings_of(story, "edited")
    assert (now.confidence, now.basic.password.get_secret_value()) == (45, "geheim")
    assert "geheim" not in text_of(story)
    page.goto(story.ui("/feeds/edited/edit"))
    assert "geheim" not in page.content()
    expect(page.locator("[name='set.basic.password']")).to_have_value("${secret:edited.basic.password}")


def test_who_saves_second_is_told(page: Page, story: Lab) -> None:
    story.operations.call("feed_add", {"name": "shared", "settings": {"kind": "lines", "url": "https://x.example/"}})
    page.goto(story.ui("/feeds/shared/edit"))
    story.operations.call("feed_change", {"name": "shared", "settings": {"confidence": 33}})
    page.fill("[name='set.every']", "2h")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("somebody else has changed")
    expect(page.locator("[name='set.every']")).to_have_value("2h")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/ui/feeds")
    now = settings_of(story, "shared")
    assert (now.confidence, now.every.total_seconds()) == (33, 7200)


def test_off_keeps_what_is_held_and_remove_withdraws_it(page: Page, story: Lab, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("switched.example.net\n")
    made = {"kind": "lines", "url": f"file://{tmp_path}/list.txt", "every": "1h"}
    story.operations.call("feed_add", {"name": "switched", "settings": made, "into": ["merged"]})
    page.goto(story.ui("/feeds?q=switched"))
    page.get_by_role("button", name="Fetch now: switched").click()
    expect(page.get_by_role("status").filter(has_text="switched:")).to_be_visible()
    page.get_by_role("button", name="Switch off: switched").click()
    expect(page.get_by_role("status").filter(has_text="It keeps what it holds")).to_be_visible()
    assert settings_of(story, "switched").enabled is False
    values = [row["value"] for row in story.operations.call("list", {"node": "merged"})["rows"]]
    assert "switched.example.net" in values
    page.get_by_role("button", name="Switch on: switched").click()
    expect(page.get_by_role("status").filter(has_text="switched is on")).to_be_visible()
    page.goto(story.ui("/feeds/schedule"))
    page.get_by_label("How often: switched").fill("15m")
    page.get_by_role("button", name="Set how often switched").click()
    expect(page.get_by_role("status").filter(has_text="every 15m")).to_be_visible()
    assert settings_of(story, "switched").every.total_seconds() == 900
    page.goto(story.ui("/feeds/switched/edit"))
    page.get_by_role("button", name="Remove, and withdraw").click()
    page.wait_for_url("**/ui/feeds")
    values = [row["value"] for row in story.operations.call("list", {"node": "merged"})["rows"]]
    assert "switched.example.net" not in values
    assert "switched" not in text_of(story)


def test_the_library_is_searched_and_a_feed_with_a_key_added(page: Page, story: Lab) -> None:
    page.goto(story.ui("/feeds/library"))
    page.get_by_label("Find").fill("otx export")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=otx+export**")
    page.get_by_role("link", name="Add ").first.click()
    page.fill("[name=name]", "otx")
    page.get_by_role("button", name="Add the feed").click()
    expect(page.locator(".setting.wrong[data-path='api_key.value']")).to_be_visible()
    page.fill("[name='set.api_key.value']", "0123456789abcdef")
    page.select_option("[name='set.enabled']", "false")
    page.get_by_role("button", name="Add the feed").click()
    page.wait_for_url("**/ui/feeds")
    assert settings_of(story, "otx").api_key.value.get_secret_value() == "0123456789abcdef"
    assert "0123456789abcdef" not in text_of(story)


def test_several_of_the_library_are_added_switched_off(page: Page, story: Lab) -> None:
    page.goto(story.ui("/feeds/library?q=spamhaus"))
    ticks = page.locator("[name=pick]")
    for number in range(2):
        ticks.nth(number).check()
    chosen = [str(ticks.nth(number).get_attribute("value")) for number in range(2)]
    page.get_by_label("switched off at first").check()
    page.get_by_role("button", name="Add the chosen").click()
    expect(page.get_by_role("status").filter(has_text="2 feeds are added, switched off")).to_be_visible()
    assert [settings_of(story, name).enabled for name in chosen] == [False, False]
    page.goto(story.ui("/feeds/library?q=spamhaus"))
    assert page.locator(f"[name=pick][value={chosen[0]}]").count() == 0


def test_misps_list_comes_in_and_goes_back(page: Page, story: Lab) -> None:
    feeds = [
        {"Feed": {"name": f"Phish {SCRIPT}", "provider": "x", "url": "https://p.example.org/l.csv", "enabled": False,
                  "source_format": "csv", "settings": {"csv": {"value": "2"}}, "headers": "X-Key: k3y-of-misp",
                  "fixed_event": True, "delta_merge": True, "publish": True}, "Tag": {"name": "tlp:green"}},
        {"Feed": {"name": "Other", "url": "https://other.example.org/l.txt", "source_format": "freetext"}},
    ]  # fmt: skip
    page.goto(story.ui("/feeds/misp"))
    page.fill("[name=list]", json.dumps(feeds))
    page.get_by_role("button", name="Look through").click()
    expect(page.locator("[name=pick]")).to_have_count(2)
    assert looks.problems(page) == []
    page.locator("[name=pick]").nth(1).uncheck()
    page.get_by_role("button", name="Add the chosen").click()
    expect(page.get_by_role("status").filter(has_text="1 feed is added")).to_be_visible()
    (name,) = [each for each in story.operations.engine.configuration.sources if each.startswith("phish")]
    made = settings_of(story, name)
    assert (made.enabled, made.event.publish, made.headers["X-Key"].get_secret_value()) == (False, True, "k3y-of-misp")
    assert "k3y-of-misp" not in text_of(story)
    back = page.request.get(story.ui("/feeds/misp/export"))
    assert "attachment" in back.headers["content-disposition"]
    (mine,) = [each for each in back.json() if each["Feed"]["name"] == name]
    assert (mine["Feed"]["publish"], mine["Feed"]["delta_merge"], mine["Tag"]["name"]) == (True, True, "tlp:green")
    assert "k3y-of-misp" not in back.text()


def test_an_analyst_fetches_and_changes_nothing(browser: Browser, story: Lab) -> None:
    context = stage.somebody(browser, story, "ana", role="analyst")
    page = context.new_page()
    page.goto(story.ui("/feeds"))
    assert page.get_by_role("button", name="Switch off").count() == 0
    before = text_of(story)
    for path in ("add", "try", "misp", "library", "covid-19/switch", "covid-19/edit", "covid-19/remove"):
        answer = stage.send(page, story, f"/feeds/{path}", {"enabled": "no"})
        assert (answer.status, answer.json()["detail"]) == (403, "this needs the role editor"), path
    assert page.request.get(story.ui("/feeds/add")).status == 403
    assert text_of(story) == before
    context.close()
