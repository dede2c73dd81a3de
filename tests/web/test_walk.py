"""At three in the morning: from a value in a ticket to why it is blocked, off it, and what the far sides say of it."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
from playwright.sync_api import Browser, Page, expect

from web import looks, stage
from web.far_stage import FarLab
from web.test_deliveries import until

_PASTE = """text => {
    const data = new DataTransfer();
    data.setData('text', text);
    document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}));
}"""


def there(far: FarLab, value: str) -> bool:
    return any(row["indicatorValue"] == value for row in far.sandbox.defender_indicators())


def listed(far: FarLab) -> list[str]:
    return httpx.get(f"{far.url}/feeds/block", trust_env=False).text.split()


def test_a_pasted_url_is_explained_and_off_with_what_covers_it(browser: Browser, far: FarLab, page: Page) -> None:
    context = stage.somebody(browser, far, "nia", role="analyst")
    with looks.uncomplaining(context) as page:
        page.goto(far.ui("/deliveries"))
        page.evaluate(_PASTE, "  hxxp://bad[.]example[.]com/x ")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("http://bad.example.com/x")
        expect(page.get_by_text("On defender, sentinel, later and block")).to_be_visible()
        expect(page.locator(".answer")).to_contain_text("sharp")
        assert there(far, "bad.example.com")
        page.get_by_label("Reason").fill("INC-4711")
        page.keyboard.press("Enter")
        expect(page.get_by_text("It is not off yet.")).to_be_visible()
        assert looks.problems(page) == []
        page.get_by_role("button", name="Allow bad.example.com, too").click()
        expect(page.get_by_text("It is not off yet.")).to_have_count(0)
        taken = page.locator("section[aria-labelledby=taken]")
        for output in ("block", "defender", "sentinel"):
            expect(taken.get_by_role("row").filter(has_text=output)).to_contain_text("bad.example.com")
        expect(page.get_by_text("every far side has answered")).to_be_visible(timeout=60_000)
        receipts = page.locator("#receipts tbody tr")
        expect(receipts.filter(has_text="withdrawn")).to_have_count(2)
        assert looks.problems(page) == []
    context.close()
    assert not there(far, "bad.example.com")
    assert "bad.example.com" not in listed(far)
    entry = far.operations.call("audit", {"action": "allow"})["entries"][0]
    assert (entry["actor"], entry["subject"], entry["detail"]["reason"]) == ("nia", "bad.example.com", "INC-4711")


def test_the_same_over_rest_and_by_command(far: FarLab, context: object) -> None:
    key = far.operations.call("key_add", {"user": stage.ADMIN})["key"]
    base = f"{far.url}/api/v1"
    with httpx.Client(base_url=base, headers={"authorization": key}, trust_env=False, timeout=60) as api:
        why = api.get("/indicators/why", params={"value": "198[.]51.101[.]7"}).raise_for_status().json()
        assert {each["output"] for each in why["outputs"]} == {"defender", "sentinel", "later", "block"}
        told = {"value": "198[.]51.101[.]7", "reason": "INC-4712", "wait": 30}
        done = api.post("/indicators/allow", json=told).raise_for_status().json()
        assert {each["output"]: each["removed"] for each in done["outputs"]} == dict.fromkeys(
            ("defender", "sentinel", "later", "block"), 1
        )
        assert {each["output"]: each["state"] for each in done["receipts"]} == {
            "defender": "withdrawn", "sentinel": "withdrawn",
        }  # fmt: skip
        assert done["left"] == []
        assert not there(far, "198.51.101.7")
        api.post("/indicators/disallow", json={"value": "198.51.101.7"}).raise_for_status()
    until(lambda: there(far, "198.51.101.7"))

    def command(*words: str) -> str:
        configuration = ["--config", str(far.directory / "tipline.yml")]
        done = subprocess.run(
            [sys.executable, "-m", "tipline", *words, *configuration],
            capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        return done.stdout

    assert "defender: passed on 198.51.101.7" in command("why", "198[.]51.101[.]7")
    said = command("allow", "198[.]51.101[.]7", "--reason", "INC-4713")
    assert "block: 1 removed" in said
    assert said.count("withdrawn") == 2
    assert not there(far, "198.51.101.7")
    assert "198.51.101.7" not in listed(far)
