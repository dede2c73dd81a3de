"""Script, formulas and control characters in every field, and every page there is: none of it is more than text."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import BrowserContext, Page

from tipline.engine.logbook import FOLDER, LogBook
from tipline.model.keys import key
from tipline.web.site import modules
from web import looks, stage
from web.far_stage import FOREIGN, HOSTILE, FarLab
from web.stage import FORMULA, SCRIPT

VALUE, ADDED = "198.51.101.7", "hostile.example.net"
PLAIN = f"{SCRIPT} {FORMULA}"  # where control characters are refused
# A page that has no address here fails the test: whoever adds one says what is hostile about it.
ADDRESSES: dict[str, list[str]] = {
    "/": ["/"],
    "/sign-in": ["/sign-in"],
    "/first-visit": ["/first-visit"],
    "/overview": ["/overview"],
    "/lists": ["/lists"],
    "/automation": ["/automation"],
    "/start": ["/start", "/start?step=list", "/start?step=defender"],
    "/activity": ["/activity", f"/activity?text={quote(SCRIPT)}&actor={quote(SCRIPT)}"],
    "/activity/logs": ["/activity/logs", f"/activity/logs?text={quote(SCRIPT)}&node={quote(SCRIPT)}"],
    "/administration": ["/administration"],
    "/administration/users": ["/administration/users"],
    "/administration/users/{name}": ["/administration/users/eve"],
    "/administration/teams": ["/administration/teams"],
    "/administration/teams/{name}": ["/administration/teams/red"],
    "/administration/readers": ["/administration/readers"],
    "/administration/keys": ["/administration/keys"],
    "/administration/sessions": ["/administration/sessions"],
    "/administration/sign-on": ["/administration/sign-on"],
    "/administration/health": ["/administration/health"],
    "/administration/health/checks": ["/administration/health/checks"],
    "/administration/lists": ["/administration/lists"],
    "/administration/lists/{name}": ["/administration/lists/ours", "/administration/lists/allowed"],
    "/administration/warning-lists": ["/administration/warning-lists?state=in use"],
    "/administration/warning-lists/{name}": [f"/administration/warning-lists/dax30?text={quote(SCRIPT)}"],
    "/administration/backups": ["/administration/backups"],
    "/pipeline": ["/pipeline"],
    "/pipeline/add": ["/pipeline/add", f"/pipeline/add?q={quote(SCRIPT)}"],
    "/pipeline/new": ["/pipeline/new?sort=source&kind=csv", "/pipeline/new?entry=abusech-feodo-ip"],
    "/pipeline/candidate": ["/pipeline/candidate"],
    "/pipeline/plan": ["/pipeline/plan"],
    "/pipeline/text": ["/pipeline/text"],
    "/pipeline/history": ["/pipeline/history"],
    "/pipeline/history/{number}": ["/pipeline/history/2"],
    "/nodes/{name}": ["/nodes/feed", "/nodes/hand", "/nodes/merged", "/nodes/defender", "/nodes/block"],
    "/nodes/{name}/edit": ["/nodes/feed/edit", "/nodes/defender/edit"],
    "/feeds": ["/feeds", f"/feeds?q={quote(SCRIPT)}"],
    "/feeds/schedule": ["/feeds/schedule"],
    "/feeds/overlap": ["/feeds/overlap"],
    "/feeds/add": ["/feeds/add", "/feeds/add?kind=csv"],
    "/feeds/{name}/edit": ["/feeds/feed/edit"],
    "/feeds/library": [f"/feeds/library?q={quote(SCRIPT)}"],
    "/feeds/library/{name}": ["/feeds/library/otx-export"],
    "/feeds/misp": ["/feeds/misp"],
    "/indicators": ["/indicators?source=feed", f"/indicators?text={quote(HOSTILE)}&tag={quote(SCRIPT)}"],
    "/indicators/find": [f"/indicators/find?value={quote(HOSTILE)}"],
    "/indicators/detail": [f"/indicators/detail?value={VALUE}", f"/indicators/detail?value={ADDED}"],
    "/indicators/{type}/{value:path}": [f"/indicators/domain/{FOREIGN}"],
    "/indicators/related": [f"/indicators/related?value={VALUE}"],
    "/indicators/receipts": [f"/indicators/receipts?of=defender%20ipv4%20{VALUE}"],
    "/indicators/lookup": [f"/indicators/lookup?values={quote(HOSTILE)}"],
    "/indicators/add": ["/indicators/add"],
    "/deliveries": ["/deliveries"],
    "/deliveries/{name}": ["/deliveries/defender", "/deliveries/sentinel"],
    "/deliveries/{name}/receipts": ["/deliveries/defender/receipts", "/deliveries/defender/receipts?state=parked"],
    "/deliveries/{name}/receipts/{key}": [f"/deliveries/defender/receipts/{key('ipv4', VALUE).hex}"],
    "/deliveries/{name}/queue": ["/deliveries/defender/queue"],
    "/deliveries/{name}/defender": ["/deliveries/defender/defender", "/deliveries/defender/defender?whose=foreign"],
    "/deliveries/{name}/defender/{far_id}": [f"/deliveries/defender/defender/{key('ipv4', VALUE).hex}"],
    "/deliveries/{name}/overrides": ["/deliveries/defender/overrides"],
    "/deliveries/{name}/sentinel": ["/deliveries/sentinel/sentinel", "/deliveries/sentinel/sentinel?whose=foreign"],
    "/deliveries/{name}/preview": ["/deliveries/defender/preview"],
    "/deliveries/{name}/adopt": ["/deliveries/defender/adopt"],
}
# Files, which no browser shows as a page; and what only answers an issuer or a script.
FILES = {
    "/nodes/{name}/body": "/nodes/feed/body",
    "/indicators/export": "/indicators/export?source=feed",
    "/feeds/misp/export": "/feeds/misp/export",
}
OTHERS = {"/session", "/sign-on/{issuer}", "/sign-on/{issuer}/back", "/administration/backups/{name}"}
_RUNS = """() => [...document.querySelectorAll('*')].flatMap(each => [...each.attributes].filter(
    one => one.name.startsWith('on') || /^\\s*(javascript|data|vbscript):/i.test(one.value) && /^(href|src|action)$/
        .test(one.name)).map(one => `${each.tagName} ${one.name}=${one.value}`))"""


@pytest.fixture(scope="module")
def filled(far: FarLab) -> FarLab:
    """Hostile words wherever people and programs can leave words."""
    call = far.operations.call
    path = far.directory / "tipline.yml"
    text = path.read_text()
    text = text.replace(
        "sources:\n", f"sources:\n  hand: {{kind: local, note: '{PLAIN.replace(chr(39), chr(39) * 2)}'}}\n", 1
    )
    call("commit", {"text": text, "message": PLAIN, "base": call("configuration", {})["version"]})
    made = {"name": "eve", "role": "reader", "team": "default", "display": PLAIN, "tags": [PLAIN.replace(" ", "")]}
    call("user_add", made)
    call("key_add", {"user": stage.ADMIN, "label": PLAIN})
    entry = {"value": ADDED, "comment": HOSTILE, "tags": [SCRIPT, FORMULA], "confidence": 90}
    call("add", {"entries": [entry], "source": "hand"})
    call("allow", {"value": "other0.example.net", "reason": HOSTILE})
    call("override", {"output": "defender", "value": VALUE, "changes": {"title": PLAIN}, "reason": HOSTILE})
    call("draft_put", {"section": "sources", "name": "drafted", "settings": {"kind": "local", "note": PLAIN}})
    call("reconcile", {"output": "sentinel"})
    book = LogBook(far.operations.engine.file(FOLDER))
    book.write({"timestamp": "2026-01-01T00:00:00Z", "level": "error", "event": HOSTILE, "node": SCRIPT,
                "exception": HOSTILE, SCRIPT: HOSTILE})  # fmt: skip
    return far


@pytest.fixture(scope="module")
def looking(context: BrowserContext, filled: FarLab) -> Iterator[Page]:
    with looks.uncomplaining(context) as found:
        yield found


def test_every_page_has_an_address_here() -> None:
    routes = {
        route.path
        for module in modules()
        for route in module.router.routes
        if isinstance(route, APIRoute) and "GET" in route.methods
    }
    assert routes == ADDRESSES.keys() | FILES.keys() | OTHERS


@pytest.mark.parametrize("path", [each for found in ADDRESSES.values() for each in found])
def test_hostile_words_are_text_on_every_page(looking: Page, filled: FarLab, path: str) -> None:
    answer = looking.goto(filled.ui(path))
    assert answer is not None
    assert answer.status < 400, answer.text()
    assert looking.title() != "owned"
    assert looking.locator("main script, main iframe, main object, main style, main base").count() == 0
    assert looking.evaluate(_RUNS) == []
    content = looking.content()
    assert not [sign for sign in ("\x1b", "\u202e", "\x00") if sign in content]


@pytest.mark.parametrize("path", FILES.values())
def test_files_are_no_pages(looking: Page, filled: FarLab, path: str) -> None:
    answer = looking.request.get(filled.ui(path))
    assert answer.ok
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "html" not in answer.headers["content-type"]


def test_what_was_left_is_what_these_pages_show(looking: Page, filled: FarLab) -> None:
    shown = "&lt;script&gt;document.title='owned'"
    for path in ("/activity", "/activity/logs", "/automation", "/administration/users/eve",
                 "/administration/readers", "/administration/lists/allowed", "/pipeline/history", "/nodes/hand",
                 f"/indicators/detail?value={ADDED}", "/deliveries/defender/overrides",
                 f"/deliveries/defender/defender/{key('ipv4', VALUE).hex}", "/pipeline/candidate"):  # fmt: skip
        looking.goto(filled.ui(path))
        assert shown in looking.content(), path
