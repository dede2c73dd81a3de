"""Takes pictures of the pages for the documentation: `python -m web.screenshots FOLDER`, from the folder `tests`.

The lab of `tipline demo` is played first, so that they show what anybody sees who starts it.
"""

from __future__ import annotations

import base64
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page
from rich.text import Text

from tipline.api.serving import served
from tipline.cli.logs import configure
from tipline.demo.play import act, staged
from tipline.demo.tell import Teller
from tipline.engine.asker import Asker
from tipline.engine.logbook import FOLDER
from tipline.engine.operations import Operations
from web import stage
from web.stage import Lab

_QUALITY = 50  # of WebP: text stays sharp, and a picture takes some 40 kB
PICTURES = {
    "overview": "/overview?period=1h",
    "start": "/start?step=defender",
    "pipeline": "/pipeline",
    "editing": "/pipeline/new?entry=abusech-feodo-ip",
    "candidate": "/pipeline/candidate",
    "feeds": "/feeds",
    "library": "/feeds/library?q=phishing",
    "worth": "/feeds/overlap",
    "indicators": "/indicators?text=203.0.114",
    "why": "/indicators/detail?value=https://lapsus.bz",
    "deliveries": "/deliveries/defender",
    "defender": "/deliveries/defender/defender?tab=urls",
    "overrides": "/deliveries/defender/overrides",
    "sentinel": "/deliveries/sentinel/sentinel",
    "lists": "/lists",
    "activity": "/activity",
    "logs": "/activity/logs",
    "automation": "/automation",
    "administration": "/administration/users",
    "warning-lists": "/administration/warning-lists",
}


def take(folder: Path) -> None:
    """One picture of each page, light and dark."""
    with lab() as found, stage.browser() as browser:
        for theme in ("light", "dark"):
            context = stage.signed_in(browser, found, theme=theme)
            page = context.new_page()
            page.set_viewport_size({"width": 1280, "height": 860})
            for name, path in PICTURES.items():
                page.goto(found.ui(path))
                page.locator(".signal[data-state=on]").wait_for()
                (folder / f"{name}-{theme}.webp").write_bytes(_picture(page))
            context.close()


@contextmanager
def lab() -> Iterator[Lab]:
    """The lab after its eight steps, with some of what people do with it."""
    with staged() as found:
        configure(logging.INFO, found.engine.file(FOLDER))
        act(found, Teller(lambda _: Text(), quiet=True))
        with served(found.engine, [("127.0.0.1", 0)]) as (urls, scheduler):
            operations = Operations(found.engine, scheduler)
            _used(operations)
            yield Lab(urls[0], operations, found.directory)


def _used(operations: Operations) -> None:
    def ask(who: str, operation: str, **arguments: Any) -> None:
        operations.asked_by(Asker(who, "default", everywhere=True)).call(operation, arguments)

    ask("", "user_add", name=stage.ADMIN, role="admin", password=stage.PASSWORD)
    for name, role, tags in (("bea", "analyst", []), ("tom", "editor", []), ("edge-firewall", "reader", ["edge"])):
        ask(stage.ADMIN, "user_add", name=name, role=role, tags=tags)
    ask(stage.ADMIN, "user_change", name="bea", changes={"role": "editor", "display": "Bea (SOC)"})
    ask(stage.ADMIN, "warning_lists_set", recommended=True)
    wish = {"changes": {"severity": "High", "title": "Phishing of the week"}, "reason": "INC-88", "until": "7d"}
    ask("bea", "override", output="defender", value="lapsus.bz", **wish)
    feed = {"kind": "lines", "url": "https://check.torproject.org/torbulkexitlist", "confidence": 40}
    ask("tom", "draft_put", section="sources", name="tor", settings=feed)


def _picture(page: Page) -> bytes:
    session = page.context.new_cdp_session(page)
    taken = session.send("Page.captureScreenshot", {"format": "webp", "quality": _QUALITY})
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    take(Path(sys.argv[1]))
