"""Backups by page and by the REST API."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tipline.engine.restore import restore
from web import looks, stage
from web.stage import Lab


def test_a_backup_is_made_downloaded_and_deleted(lab_page: Page, lab: Lab, tmp_path: Path) -> None:
    lab.operations.call("backup", {})
    looks.check_page(lab_page, lab, "/administration/backups")
    lab_page.get_by_role("button", name="Make a backup").click()
    expect(lab_page.get_by_role("status").filter(has_text="is whole")).to_be_visible()
    with lab_page.expect_download() as waiting:
        lab_page.locator("tbody a").first.click()
    file = tmp_path / "down.backup"
    waiting.value.save_as(file)
    restore(file, tmp_path / "data", tmp_path / "tipline.yml")
    assert (tmp_path / "tipline.yml").read_text() == (lab.directory / "tipline.yml").read_text()
    lab_page.get_by_role("button", name="Delete").first.click()
    expect(lab_page.get_by_role("status").filter(has_text="was deleted")).to_be_visible()
    done = {each["action"] for each in lab.operations.call("audit", {})["entries"]}
    assert {"backup", "backup download", "backup remove"} <= done


def test_nobody_but_an_admin_gets_one(browser: Browser, lab: Lab, inside: BrowserContext) -> None:
    name = lab.operations.call("backup", {})["name"]
    lab.operations.call("user_add", {"name": "eda", "role": "editor"})
    keys = {who: lab.operations.call("key_add", {"user": who})["key"] for who in ("eda", stage.ADMIN)}
    api = httpx.Client(base_url=f"{lab.url}/api/v1", trust_env=False)

    def asked(method: str, path: str, who: str) -> httpx.Response:
        return api.request(method, path, headers={"Authorization": keys[who]} if who else {})

    for who, status in (("", 401), ("eda", 403)):
        for method, path in (("GET", "/backups"), ("POST", "/backups"), ("GET", f"/backups/{name}")):
            assert asked(method, path, who).status_code == status
        assert asked("DELETE", f"/backups/{name}", who).status_code == status
    assert name in {each["name"] for each in asked("GET", "/backups", stage.ADMIN).json()["backups"]}
    content = asked("GET", f"/backups/{name}", stage.ADMIN)
    assert (content.status_code, content.headers["content-type"]) == (200, "application/zstd")
    for wrong in ("control.sqlite", "..%2Fcontrol.sqlite", "%2e%2e%2fcontrol.sqlite"):
        assert asked("GET", f"/backups/{wrong}", stage.ADMIN).status_code in {400, 404}
    assert asked("POST", "/backups", stage.ADMIN).status_code == 201
    context = stage.somebody(browser, lab, "vik", role="viewer")
    page = context.new_page()
    for path in ("/administration/backups", f"/administration/backups/{name}"):
        assert page.request.get(lab.ui(path)).status == 403
    context.close()
    api.close()
