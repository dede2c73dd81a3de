"""Indicators in the browser: found, explained, allowed, added and exported; whatever values say, they stay text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Page, expect

from tipline.api.serving import served
from tipline.config.check import load
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.schedule import Scheduler
from tipline.sandbox import Sandbox
from tipline.web.pages.indicator import _progress
from web import stage
from web.stage import CONTROL, FORMULA, SCRIPT, Lab


def open_add(page: Page, lab: Lab, text: str) -> None:
    """Have a text looked through."""
    page.goto(lab.ui("/indicators/add"))
    page.fill("textarea[name=text]", text)
    page.get_by_role("button", name="Look through").click()
    page.wait_for_url("**/indicators/review")


def test_a_value_is_found_in_any_spelling_and_leads_to_its_page(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators"))
    lab_page.keyboard.press("/")
    lab_page.keyboard.type("bad7[.]example[.]com")
    lab_page.keyboard.press("Enter")
    lab_page.wait_for_url("**text=bad7**")
    expect(lab_page.locator(".found tbody tr")).to_have_count(1)
    lab_page.locator(".found tbody a.value").click()
    expect(lab_page.get_by_role("heading", level=1)).to_have_text("bad7.example.com")
    expect(lab_page.get_by_text("On list and defender")).to_be_visible()


def test_filters_facets_and_pages_are_in_the_address(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators?text=203.0.114.0/24"))
    expect(lab_page.locator(".found tbody tr")).to_have_count(50)
    first = lab_page.locator(".found tbody tr th").all_inner_texts()
    lab_page.get_by_role("link", name="Next").click()
    lab_page.wait_for_url("**after=**")
    second = lab_page.locator(".found tbody tr th").all_inner_texts()
    assert len(second) == 9
    assert not set(first) & set(second)
    lab_page.goto(lab.ui("/indicators"))
    lab_page.locator(".facets a", has_text="domain").click()
    lab_page.wait_for_url("**type=domain**")
    assert set(lab_page.locator(".found tbody tr td:nth-child(2)").all_inner_texts()) == {"domain"}
    assert lab_page.locator(".facets a[aria-current]").inner_text().startswith("domain")


def test_every_filter_narrows(lab_page: Page, lab: Lab) -> None:
    def found(**query: str) -> set[str]:
        asked = "&".join(f"{name}={quote(value)}" for name, value in query.items())
        answer = lab_page.request.get(lab.ui(f"/indicators?{asked}"), headers={"accept": "application/json"})
        assert answer.status == 200, answer.text()
        return {each["value"] for each in answer.json()["indicators"]}

    hostile = {"198.51.101.7", "198.51.102.7"}
    assert found(source="hostile") == hostile
    assert found(tag=SCRIPT) == hostile
    assert found(source="hostile", confidence="51") == set()
    assert found(source="hostile", tlp="amber") == hostile
    assert found(source="hostile", tlp="clear") == set()
    assert found(source="hostile", output="list") == hostile
    assert found(source="hostile", until="2020-01-01") == set()
    assert found(source="hostile", since="2020-01-01") == hostile
    assert found(text="203.0.114.5, bad9[.]example.com 198.51.101.7") == {
        "203.0.114.5",
        "bad9.example.com",
        "198.51.101.7",
    }
    assert found(text="bad59.exam") == {"bad59.example.com"}


def test_what_is_wrong_in_the_address_is_said(lab_page: Page, lab: Lab) -> None:
    for query in ("confidence=x", "after=%5B1", "after=[1,2]", "since=soon", "confidence=101"):
        answer = lab_page.request.get(lab.ui(f"/indicators?{query}"))
        assert answer.status == 400, query
    assert lab_page.request.get(lab.ui("/indicators/export?form=exe")).status == 400
    assert lab_page.request.get(lab.ui("/indicators/detail?value=nonsense")).status == 400
    assert lab_page.request.get(lab.ui(f"/indicators/detail?value={quote(SCRIPT)}")).status == 400


def test_an_export_has_all_that_is_found_and_no_formula(lab_page: Page, lab: Lab) -> None:
    answer = lab_page.request.get(lab.ui("/indicators/export?source=hostile&form=csv"))
    assert answer.headers["content-disposition"] == 'attachment; filename="indicators.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text())))
    assert {row["value"] for row in rows} == {"198.51.101.7", "198.51.102.7"}
    assert "\x1b" not in answer.text()
    assert "\u202e" not in answer.text()
    lab.operations.call(
        "add", {"entries": [{"value": "45.9.148.99", "comment": FORMULA, "tags": ["=1+1"]}], "source": "mine"}
    )
    row = next(csv.DictReader(io.StringIO(lab_page.request.get(lab.ui("/indicators/export?text=45.9.148.99")).text())))
    assert (row["tags"], row["descriptions"]) == ("'=1+1", "'" + FORMULA)
    plain = lab_page.request.get(lab.ui("/indicators/export?source=plain&form=json")).json()
    assert len(plain) >= 118
    assert lab_page.request.get(lab.ui("/indicators/export?text=absent.example&form=json")).json() == []


def test_a_list_is_looked_up_at_an_address_that_can_be_shared(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators/lookup"))
    lab_page.fill("textarea", f"203.0.114.5\nbad3[.]example.com; nope {SCRIPT}\n8.8.4.4")
    lab_page.get_by_role("button", name="Look up", exact=True).click()
    lab_page.wait_for_url("**/lookup?values=**")
    rows = lab_page.locator(".answers tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.nth(0)).to_contain_text("published")
    expect(rows.nth(1)).to_contain_text("bad3.example.com")
    expect(rows.nth(2)).to_contain_text("refused")
    expect(rows.nth(4)).to_contain_text("never-block")
    assert lab_page.title() != "owned"
    many = "\n".join(f"198.18.{n // 250}.{n % 250}" for n in range(3000))
    answer = stage.send(lab_page, lab, "/indicators/lookup", {"values": many})
    assert len(answer.json()["rows"]) == 3000
    over = "\n".join(f"w{n}" for n in range(10_001))
    assert stage.send(lab_page, lab, "/indicators/lookup", {"values": over}).status == 400


def test_a_page_says_why_and_shows_what_is_near(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators/ipv4/203.0.114.20"))
    nodes = lab_page.locator("section[aria-labelledby=nodes] tbody tr")
    expect(nodes.filter(has_text="merged")).to_contain_text("passed on")
    expect(lab_page.locator("section[aria-labelledby=claims]")).to_contain_text("plain")
    expect(lab_page.locator("section[aria-labelledby=timeline]")).to_contain_text("published")
    expect(lab_page.locator("#related")).to_contain_text("203.0.114.21")
    lab_page.goto(lab.ui("/indicators/detail?value=8.8.4.4"))
    expect(lab_page.get_by_text("it is allowed")).to_be_visible()
    lab_page.goto(lab.ui("/indicators/url/http://absent.example.net/a%3Fb=c%23d"))
    expect(lab_page.get_by_role("heading", level=1)).to_have_text("http://absent.example.net/a?b=c#d")
    expect(lab_page.get_by_text("no source that you may see claims it")).to_be_visible()


def test_what_values_say_stays_text(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators/detail?value=198.51.101.7"))
    says = lab_page.locator("td.says").first
    expect(says).to_contain_text(SCRIPT)
    expect(says).to_contain_text(FORMULA)
    assert "\u202e" not in lab_page.content()
    assert "\x1b" not in lab_page.content()
    assert lab_page.title() != "owned"
    hostile = (
        f"/indicators?text={quote(SCRIPT + CONTROL)}&tag={quote(SCRIPT)}&type={quote(SCRIPT)}&source={quote(FORMULA)}"
    )
    lab_page.goto(lab.ui(hostile))
    expect(lab_page.get_by_text("No source claims")).to_be_visible()
    assert lab_page.locator("main script").count() == 0


def test_a_value_is_allowed_and_taken_back(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators/detail?value=203.0.114.30"))
    lab_page.get_by_label("Reason").fill(f"INC-7 {SCRIPT}")
    lab_page.get_by_label("For how long").select_option("7d")
    lab_page.get_by_role("button", name="Allow", exact=True).click()
    lab_page.wait_for_url("**/indicators/allow")
    taken = lab_page.locator("section[aria-labelledby=taken] tbody tr")
    expect(taken).to_have_count(2)
    expect(taken.first).to_contain_text("203.0.114.30")
    lab_page.get_by_role("link", name="Back to the indicator").click()
    expect(lab_page.get_by_text("it is allowed")).to_be_visible()
    expect(lab_page.get_by_text(f"default/{stage.ADMIN}: INC-7 {SCRIPT}")).to_be_visible()
    lab_page.get_by_role("button", name="Allow it no more").click()
    expect(lab_page.get_by_role("status").filter(has_text="is not allowed any more")).to_be_visible()


def test_allowing_needs_a_reason(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators/detail?value=203.0.114.31"))
    assert stage.send(lab_page, lab, "/indicators/allow", {"value": "203.0.114.31"}).status == 400
    assert lab.operations.call("lookup", {"values": ["203.0.114.31"]})[0]["hits"]


def test_a_list_is_looked_through_added_and_removed(lab_page: Page, lab: Lab) -> None:
    open_add(lab_page, lab, f"evil[.]com\n45.9.148.7\n45.9.148.7\n10.0.0.1\n{FORMULA.replace(' ', '')}\n{SCRIPT}")
    expect(lab_page.locator("input[name=pick]")).to_have_count(2)
    refused = lab_page.locator("section[aria-labelledby=refused] tbody tr")
    expect(refused).to_have_count(3)
    expect(refused.first).to_contain_text("not-routable: private")
    lab_page.get_by_label("Add evil.com").uncheck()
    lab_page.get_by_label("Comment").fill(SCRIPT)
    lab_page.get_by_label("Tags, with commas").fill("c2, =2+2")
    lab_page.get_by_role("button", name="Add the chosen").click()
    lab_page.wait_for_url("**/indicators/add")
    expect(lab_page.get_by_text("1 added, 0 changed, 0 refused")).to_be_visible()
    lab_page.locator("section[aria-labelledby=chosen] a").click()
    expect(lab_page.locator("section[aria-labelledby=claims]")).to_contain_text(f"default/{stage.ADMIN}")
    expect(lab_page.locator("section[aria-labelledby=claims]")).to_contain_text("=2+2")
    lab_page.get_by_role("button", name="Remove from mine").click()
    expect(lab_page.get_by_role("status").filter(has_text="1 removed from mine")).to_be_visible()
    assert not lab.operations.call("lookup", {"values": ["45.9.148.7", "evil.com"]})[0]["hits"]


def test_a_report_is_dropped_as_a_file_and_looked_through(lab_page: Page, lab: Lab, tmp_path: Path) -> None:
    report = tmp_path / "<b>report.txt"
    report.write_text(f"The group used evil[.]com\nand hxxp://bad[.]net/a from 192.168.1.1.\n{SCRIPT} {CONTROL}")
    lab_page.goto(lab.ui("/indicators/add"))
    lab_page.set_input_files("input[type=file]", report)
    lab_page.get_by_role("button", name="Look through").click()
    lab_page.wait_for_url("**/indicators/review")
    expect(lab_page.get_by_label("Add evil.com")).to_be_checked()
    expect(lab_page.locator("section[aria-labelledby=taken]")).to_contain_text("hxxp://bad[.]net/a")
    expect(lab_page.locator("section[aria-labelledby=refused]")).to_contain_text("192.168.1.1")
    lab_page.get_by_role("button", name="All / none").click()
    expect(lab_page.get_by_label("Add evil.com")).not_to_be_checked()
    assert lab_page.title() != "owned"


def test_an_upload_has_limits_and_needs_the_pages_own_word(lab_page: Page, lab: Lab) -> None:
    lab_page.goto(lab.ui("/indicators/add"))
    token = lab_page.locator("[name=csrf]").first.get_attribute("value") or ""
    address = lab.ui("/indicators/review")

    def sent(csrf: str, size: int) -> int:
        file = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"a" * size}
        form = {"csrf": csrf, "text": "", "type": "", "file": file}
        return lab_page.request.post(address, headers={"origin": lab.url}, multipart=form).status

    assert sent("wrong", 10) == 403
    assert sent(token, 17 << 20) == 413
    assert stage.send(lab_page, lab, "/indicators/review", {"text": ""}).status == 400
    broken = {"origin": lab.url, "content-type": "multipart/form-data; boundary=x", "x-csrf-token": token}
    assert lab_page.request.post(address, headers=broken, data=b"nothing").status == 400


def test_a_viewer_finds_but_changes_nothing(browser: Browser, lab: Lab, inside: object) -> None:
    context = stage.somebody(browser, lab, "eve", role="viewer")
    page = context.new_page()
    page.goto(lab.ui("/indicators/detail?value=203.0.114.9"))
    assert page.get_by_role("button", name="Allow", exact=True).count() == 0
    for path in ("allow", "disallow", "remove", "review", "add"):
        form = {"value": "203.0.114.9", "reason": "x", "source": "mine", "pick": "ipv4 45.9.148.1"}
        answer = stage.send(page, lab, f"/indicators/{path}", form)
        assert answer.status == 403
        assert "needs the role analyst" in answer.text()
    context.close()


def test_another_teams_red_indicator_is_nowhere(browser: Browser, lab: Lab, inside: object) -> None:
    lab.operations.call(
        "add", {"entries": [{"value": "45.9.150.1", "tlp": "red", "comment": "ours"}], "source": "mine"}
    )
    context = stage.somebody(browser, lab, "oz", role="analyst", team="other")
    page = context.new_page()
    page.goto(lab.ui("/indicators"))
    asked = [
        "/indicators?text=45.9.150.1",
        "/indicators/export?text=45.9.150.1&form=json",
        "/indicators/lookup?values=45.9.150.1",
        "/indicators/detail?value=45.9.150.1",
        "/indicators/related?value=45.9.150.2",
    ]
    for path in asked:
        answer = page.request.get(lab.ui(path), headers={"accept": "application/json"})
        assert answer.status == 200
        assert not re.search(r"ours|\bmine\b", json.dumps(answer.json()))
    context.close()


_FAR = """\
sources:
  mine: {{kind: local}}
outputs:
  defender: {{kind: microsoft-defender, inputs: mine, credentials: {credentials}}}
"""


@contextmanager
def with_defender(directory: Path, sandbox: Sandbox) -> Iterator[Lab]:
    """A server that delivers to a stand-in for Defender, with two indicators there."""
    names = ("tenant_id", "client_id", "client_secret", "login_url", "defender_url", "sentinel_url", "arm_url")
    credentials = {**{name: getattr(sandbox, name) for name in names}, "ca_file": str(sandbox.ca_file)}
    (directory / "tipline.yml").write_text(_FAR.format(credentials=json.dumps(credentials)))
    with Engine(load(directory / "tipline.yml")) as engine:
        first = Scheduler(engine)
        Operations(engine, first).call("add", {"entries": [{"value": "45.9.148.7"}, {"value": "45.9.148.8"}]})
        first.run_once()
        first.deliveries.stop()
        with served(engine, [("127.0.0.1", 0)]) as (urls, scheduler):
            yield Lab(urls[0], Operations(engine, scheduler), directory)


def test_from_a_pasted_value_to_the_far_sides_receipt(browser: Browser, tmp_path: Path) -> None:
    with Sandbox(rate_limits=False) as sandbox, with_defender(tmp_path, sandbox) as lab:
        there = {row["indicatorValue"]: row["id"] for row in sandbox.defender_indicators()}
        context = stage.signed_in(browser, lab)
        page = context.new_page()
        page.goto(lab.ui("/indicators/detail?value=45[.]9[.]148[.]7"))
        expect(page.locator("section[aria-labelledby=held]")).to_contain_text(str(there["45.9.148.7"]))
        page.get_by_label("Reason").fill("INC-9")
        page.get_by_role("button", name="Allow", exact=True).click()
        page.wait_for_url("**/indicators/allow")
        # What the first answer could not say yet, the page finds out by itself.
        expect(page.get_by_text("every far side has answered")).to_be_visible(timeout=60_000)
        expect(page.locator("#receipts tbody tr")).to_contain_text("withdrawn")
        assert [row["indicatorValue"] for row in sandbox.defender_indicators()] == ["45.9.148.8"]
        context.close()


def test_receipts_that_stay_open_are_followed_for_a_minute() -> None:
    held = {"output": "defender", "type": "ipv4", "value": "45.9.148.7", "state": "accepted"}
    first = _progress([held], 0)
    assert (first["waiting"], first["again"]) == (1, {"of": "defender ipv4 45.9.148.7", "round": 1})
    assert _progress([held], 29)["again"] is not None
    assert _progress([held], 30)["again"] is None
    assert _progress([{**held, "state": "withdrawn"}], 0)["again"] is None
    many = [{**held, "value": "a" * 200 + f"{n}.example.com"} for n in range(50)]
    assert len(_progress(many, 0)["again"]["of"]) <= 4000
