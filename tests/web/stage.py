"""A server with data, hostile values among them, and a browser that is signed in to its pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import APIResponse, Browser, BrowserContext, Page, sync_playwright

from tipline.api.serving import served
from tipline.config.check import load
from tipline.engine.accounts import first_token
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.schedule import Scheduler

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PASSWORD = "plum-Anchor-73-violet"
ADMIN = "ann"
# What must never become more than text.
SCRIPT = "<script>document.title='owned'</script>"
FORMULA = "=cmd|' /C calc'!A0"
CONTROL = "a\x1b[31mb\u202ec"
NODE = "hostile"

_CONFIG = """\
sources:
  hostile:
    kind: csv
    url: "file://{folder}/hostile.csv"
    columns: {{value: 1, description: 2, tags: 3}}
    header: true
    note: "{script}"
  plain: {{kind: lines, url: "file://{folder}/plain.txt", tlp: clear, confidence: 80}}
  dead: {{kind: lines, url: "https://127.0.0.1:9/list.txt"}}
  mine: {{kind: local, tlp: clear}}
processors:
  merged: {{kind: aggregate, inputs: [hostile, plain, dead, mine]}}
outputs:
  list: {{kind: list, inputs: merged, max_tlp: amber, access: key, keys: [a-key-that-is-long-enough]}}
  defender: {{kind: microsoft-defender, inputs: merged}}
"""


@dataclass
class Lab:
    """A running server, and the way in.

    Attributes:
        url: where it is.
        operations: the same engine, asked directly.
        directory: its files.
    """

    url: str
    operations: Operations
    directory: Path

    def ui(self, path: str) -> str:
        """The address of a page below `/ui`."""
        return f"{self.url}/ui{path}"


@contextmanager
def lab(directory: Path) -> Iterator[Lab]:
    """The server, with every source polled once and an administrator."""
    rows = [f'198.51.10{n}.7,"{SCRIPT} {FORMULA} {CONTROL}","{SCRIPT}"' for n in range(3)]
    (directory / "hostile.csv").write_text("\n".join(["value,why,tags", *rows, f'"{SCRIPT}",x,y', ""]))
    (directory / "plain.txt").write_text("".join(f"203.0.114.{n}\nbad{n}.example.com\n" for n in range(1, 60)))
    (directory / "tipline.yml").write_text(_CONFIG.format(script=SCRIPT, folder=directory))
    with Engine(load(directory / "tipline.yml")) as engine:
        first = Scheduler(engine)
        first.run_once()
        first.deliveries.stop()
        with served(engine, [("127.0.0.1", 0)]) as (urls, scheduler):
            operations = Operations(engine, scheduler)
            yield Lab(urls[0], operations, directory)


def begin(page: Page, at: Lab) -> None:
    """The first visit: the administrator is made with the one-time token."""
    page.goto(at.ui("/overview"))
    page.fill("[name=token]", first_token(at.operations.engine) or "")
    page.fill("[name=name]", ADMIN)
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=again]", PASSWORD)
    page.click("form button")
    page.wait_for_url(re.compile("/ui/(overview|start)$"))  # a server without feeds leads to the guided start


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


def signed_in(opened: Browser, at: Lab, *, theme: str = "light") -> BrowserContext:
    """A browser's context with the administrator signed in."""
    context = opened.new_context(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    page = context.new_page()
    page.goto(at.ui("/overview"))
    if "first-visit" in page.url:
        begin(page, at)
    else:
        enter(page, ADMIN)
        page.wait_for_url("**/ui/overview")
    page.close()
    return context


def somebody(opened: Browser, at: Lab, name: str, *, role: str, team: str = "default") -> BrowserContext:
    """A browser's context with somebody signed in who is made for it."""
    at.operations.call("user_add", {"name": name, "role": role, "team": team, "password": PASSWORD})
    context = opened.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(at.ui("/sign-in?next=/ui/automation"))
    enter(page, name)
    page.wait_for_url("**/ui/automation")
    page.close()
    return context


def enter(page: Page, name: str, password: str = PASSWORD) -> None:
    """Fill in the sign-in form that a page shows, and send it."""
    page.fill("[name=name]", name)
    page.fill("[name=password]", password)
    page.click("form button")


def send(page: Page, at: Lab, path: str, form: dict[str, str], **headers: str) -> APIResponse:
    """What a page's own form would send, whether the page shows it or not."""
    token = page.locator("[name=csrf]").first.get_attribute("value") or ""
    usual = {"origin": at.url, "accept": "application/json"}
    return page.request.post(at.ui(path), form={"csrf": token, **form}, headers={**usual, **headers})
