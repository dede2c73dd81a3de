"""The guided start of a new server: feeds, Defender and Sentinel against the stand-in, and the first list."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tipline.api.serving import served
from tipline.config.check import load
from tipline.demo.feeds import FeedServer
from tipline.engine.accounts import first_token
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.sandbox import Sandbox
from web import looks, stage
from web.stage import ADMIN, PASSWORD, Lab


@dataclass
class New(Lab):
    """A server that nobody has visited, and the stand-in for Microsoft's APIs."""

    sandbox: Sandbox


@contextmanager
def _new(directory: Path) -> Iterator[New]:
    text = files("tipline.cli").joinpath("starter.yml").read_text(encoding="utf-8")
    (directory / "tipline.yml").write_text(text)
    with (
        Sandbox(directory / "microsoft", rate_limits=False) as sandbox,
        Engine(load(directory / "tipline.yml")) as engine,
        served(engine, [("127.0.0.1", 0)]) as (urls, scheduler),
    ):
        yield New(urls[0], Operations(engine, scheduler), directory, sandbox)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[New]:
    with _new(tmp_path_factory.mktemp("new")) as found:
        yield found


@pytest.fixture(scope="module")
def arrived(browser: Browser, new: New) -> Iterator[BrowserContext]:
    """A context in which the first administrator has just been made."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(new.ui(f"/first-visit?token={first_token(new.operations.engine)}"))
    page.fill("[name=name]", ADMIN)
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=again]", PASSWORD)
    page.click("form button")
    page.wait_for_url("**/ui/start")
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(arrived: BrowserContext) -> Iterator[Page]:
    with looks.uncomplaining(arrived) as found:
        yield found


def fill_in(page: Page, new: New, *, secret: str) -> None:
    at = new.sandbox
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    for name, value in {
        "tenant_id": at.tenant_id, "client_id": at.client_id, "client_secret": secret, "login_url": at.login_url,
        "ca_file": str(at.ca_file), "defender_url": at.defender_url, "sentinel_url": at.sentinel_url,
        "arm_url": at.arm_url,
    }.items():  # fmt: skip
        page.fill(f"[name='set.credentials.{name}']", value)


@pytest.mark.parametrize("step", ["feeds", "defender", "sentinel", "list"])
def test_each_step_is_accessible_and_also_json(page: Page, new: New, step: str) -> None:
    looks.check_page(page, new, f"/start?step={step}")


def test_the_whole_way(page: Page, new: New) -> None:
    page.goto(new.ui("/overview"))
    page.get_by_role("link", name="Go on with it").click()
    expect(page.get_by_text("no API permission").or_(page.get_by_text("These need no key"))).to_be_visible()
    page.get_by_label("Spamhaus DROP").check()
    page.get_by_role("button", name="Add the chosen feeds").click()
    expect(page.get_by_role("status").filter(has_text="The feeds are added")).to_be_visible()
    assert "spamhaus-drop" in new.operations.engine.configuration.processors["inbound"].settings.inputs
    with FeedServer() as feeds:
        settings = {
            "kind": "lines",
            "url": f"{feeds.url}/cert-pa.txt",
            "allow_private": True,
            "confidence": 90,
            "tlp": "green",
        }
        new.operations.call("feed_add", {"name": "cert", "settings": settings, "into": ["inbound"]})
        new.operations.call("poll", {"source": "cert"})
    expect(page.get_by_text("WindowsDefenderATP")).to_be_visible()
    fill_in(page, new, secret="not-the-secret-of-this-app")
    page.get_by_role("button", name="Check the connection").click()
    expect(page.get_by_role("alert").filter(has_text="Something is missing")).to_contain_text("secret", timeout=30_000)
    assert "microsoft-defender" not in (new.directory / "tipline.yml").read_text().split("outputs:")[1].split("\n#")[0]
    page.fill("[name='set.credentials.client_secret']", new.sandbox.client_secret)
    page.get_by_role("button", name="Check the connection").click()
    expect(page.get_by_role("status").filter(has_text="The far side can be used")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("sees all indicators")).to_be_visible()
    assert looks.problems(page) == []
    page.get_by_label("send: as alerts").check()
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="defender is connected")).to_be_visible(timeout=30_000)
    text = (new.directory / "tipline.yml").read_text()
    assert new.sandbox.client_secret not in text
    assert "${secret:defender.credentials.client_secret}" in text
    page.get_by_role("button", name="Not now: Connect Microsoft Sentinel").click()
    expect(page.get_by_role("status").filter(has_text="Set aside")).to_be_visible()
    expect(page.get_by_text("Everything is done")).to_be_visible()
    page.goto(new.ui("/start?step=list"))
    expect(page.get_by_text("/feeds/high")).to_be_visible()
    expect(page.locator("#list .value")).not_to_be_empty()
    page.goto(new.ui("/overview"))
    assert page.get_by_text("The guided start waits").count() == 0


def test_sentinel_is_taken_up_again_and_connected(page: Page, new: New) -> None:
    page.goto(new.ui("/start"))
    page.get_by_role("button", name="Take up: Connect Microsoft Sentinel").click()
    expect(page.get_by_text("Microsoft Sentinel Contributor")).to_be_visible()
    fill_in(page, new, secret=new.sandbox.client_secret)
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.locator(".setting.wrong[data-path=workspace_id]")).to_be_visible()
    fill_in(page, new, secret=new.sandbox.client_secret)
    for name in ("workspace_id", "subscription_id", "resource_group", "workspace_name"):
        page.fill(f"[name='set.{name}']", str(getattr(new.sandbox, name)))
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="sentinel is connected")).to_be_visible(timeout=30_000)
    assert new.operations.engine.configuration.outputs["sentinel"].settings.mode == "shadow"


def test_only_an_admin_is_guided(browser: Browser, new: New, arrived: BrowserContext) -> None:
    context = stage.somebody(browser, new, "edi", role="editor")
    page = context.new_page()
    page.goto(new.ui("/automation"))
    assert page.request.get(new.ui("/start")).status == 403
    for path in ("feeds", "list", "aside", "end", "defender/check", "defender/add"):
        assert stage.send(page, new, f"/start/{path}", {"step": "feeds"}).status == 403
    context.close()
