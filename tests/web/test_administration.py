"""Users, keys, sessions, health and allow-lists by their pages; and everybody's own page."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from web import looks, stage
from web.far_stage import ALLOWED, HOSTILE, FarLab

PAGES = [
    "/administration/users",
    f"/administration/users/{stage.ADMIN}",
    "/administration/teams",
    "/administration/teams/red",
    "/administration/readers",
    "/administration/keys",
    "/administration/sessions",
    "/administration/health/checks",
    "/administration/lists",
    "/administration/lists/ours",
    "/automation",
]
OTHER = "quartz-Lantern-58-meadow"


@pytest.fixture(scope="module", autouse=True)
def people(far: FarLab) -> None:
    """Somebody else of the own team and of another one, with what must never become more than text."""
    for name, team in (("eve", "default"), ("rhea", "red")):
        made = {"name": name, "role": "viewer", "team": team, "display": stage.SCRIPT, "tags": [HOSTILE]}
        far.operations.call("user_add", {**made, "password": stage.PASSWORD})
        far.operations.call("key_add", {"user": name, "label": stage.FORMULA + stage.SCRIPT})


@pytest.mark.parametrize("path", [*PAGES, "/administration/users/eve"])
def test_a_page_is_accessible_runs_nothing_and_is_also_json(page: Page, far: FarLab, path: str) -> None:
    looks.check_page(page, far, path)


def test_a_user_is_added_changed_shut_out_and_deleted(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/administration/users"))
    page.get_by_label("Name letters").fill("bob")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="refused")).to_be_visible()
    expect(page.get_by_label("Name letters")).to_have_value("bob")
    page.get_by_label("Password").fill(stage.PASSWORD)
    page.get_by_label("Role").select_option("analyst")
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url("**/users/bob")
    page.get_by_label("Team").fill("red")
    page.get_by_label("disabled").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="bob was changed")).to_be_visible()
    found = far.operations.call("user", {"name": "bob"})
    assert (found["role"], found["team"], found["disabled"]) == ("analyst", "red", True)
    entry = far.operations.call("audit", {"action": "user change"})["entries"][0]
    assert (entry["actor"], entry["detail"]["before"]["team"], entry["detail"]["after"]["team"]) == (
        stage.ADMIN, "default", "red",
    )  # fmt: skip
    page.get_by_label("Write bob").fill("bo")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("alert").filter(has_text="another one")).to_be_visible()
    page.get_by_label("Write bob").fill("bob")
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/administration/users")
    assert "bob" not in {each["name"] for each in far.operations.call("users", {})["users"]}


def test_a_team_is_made_renamed_and_closed_once_it_has_nothing(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/administration/teams"))
    page.get_by_label("Name nodes").fill("green")
    page.get_by_label("Name for people").fill(stage.SCRIPT)
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url("**/teams/green")
    page.get_by_label("Title").fill("Green")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").filter(has_text="green was changed")).to_be_visible()
    page.goto(far.ui("/administration/teams/red"))
    page.get_by_label("Write red").fill("red")
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("alert").filter(has_text="red still has")).to_be_visible()
    page.goto(far.ui("/administration/teams/green"))
    page.get_by_label("Write green").fill("green")
    page.get_by_role("button", name="Close").click()
    page.wait_for_url("**/administration/teams")
    assert "green" not in {each["name"] for each in far.operations.call("teams", {})["teams"]}
    assert page.title() != "owned"


def test_the_last_admin_stays(page: Page, far: FarLab) -> None:
    page.goto(far.ui(f"/administration/users/{stage.ADMIN}"))
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="only admin")).to_be_visible()
    assert far.operations.call("user", {"name": stage.ADMIN})["role"] == "admin"


def test_the_examples_on_the_page_run_as_they_stand(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/automation"))
    page.get_by_role("button", name="Make a key").click()
    expect(page.locator(".made code")).to_be_visible()
    shell = page.get_by_label("Example for curl").inner_text()
    told = subprocess.run(
        ["sh", "-ec", shell.replace("curl ", "curl -sS --fail ")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert '"nodes"' in told.stdout
    assert '"results"' in told.stdout
    code = page.get_by_label("Example for Python").inner_text()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "defender" in told.stdout


def test_a_key_is_shown_once_works_and_is_revoked(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/automation"))
    page.locator("#new-key").evaluate("form => { form.open = true }")  # closed for who has a key already
    page.get_by_label("What it is for").fill(HOSTILE.replace("\x1b", "").replace("\u202e", ""))
    page.get_by_label("read", exact=False).first.check()
    page.get_by_role("checkbox", name="holds").check()
    page.get_by_role("button", name="Make a key").click()
    key = page.locator(".made code").inner_text()
    assert len(key) == 40
    expect(page.get_by_label("Example for curl")).to_contain_text(key)
    headers = {"authorization": f"Bearer {key}"}
    assert httpx.get(f"{far.url}/api/v1/deliveries", headers=headers, trust_env=False).status_code in {200, 403}
    page.goto(far.ui("/automation"))
    assert key not in page.content()
    assert page.title() != "owned"
    page.get_by_role("button", name=f"Revoke the key {key[:8]}").click()
    expect(page.get_by_role("status").filter(has_text="was revoked")).to_be_visible()
    assert httpx.get(f"{far.url}/api/v1/me", headers=headers, trust_env=False).status_code == 401


def test_what_a_key_may_do_is_what_was_chosen(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/automation"))
    page.locator("details#new-key").evaluate("each => { each.open = true }")
    page.locator("[name=scopes][value=read]").check()
    page.locator("[name=ttl]").select_option("30d")
    page.get_by_role("button", name="Make a key").click()
    headers = {"authorization": page.locator(".made code").inner_text()}
    ask = httpx.Client(base_url=f"{far.url}/api/v1", headers=headers, trust_env=False)
    assert ask.get("/deliveries").status_code == 200
    assert ask.get("/users").status_code == 403
    assert ask.post("/deliveries/defender/retry").status_code == 403
    ask.close()


def test_a_hidden_scope_is_refused(browser: Browser, far: FarLab) -> None:
    context = stage.somebody(browser, far, "sly", role="viewer")
    page = context.new_page()
    page.goto(far.ui("/automation"))
    answer = stage.send(page, far, "/automation/keys", {"scopes": "accounts"})
    assert answer.status == 400
    assert far.operations.call("keys", {"user": "sly"})["keys"] == []
    context.close()


def test_a_viewer_has_their_own_page_and_no_administration(browser: Browser, far: FarLab) -> None:
    context = stage.somebody(browser, far, "vic", role="viewer")
    page = context.new_page()
    page.goto(far.ui("/automation"))
    assert page.get_by_role("link", name="Administration").count() == 0
    for path in [*PAGES[:-1], "/administration/health"]:
        assert page.request.get(far.ui(path)).status == 403, path
    for path in (
        "/users", "/users/eve", "/users/eve/password", "/users/eve/sessions", "/users/eve/remove", "/users/eve/keys",
        f"/keys/{far.operations.call('keys', {'user': 'eve'})['keys'][0]['id']}/remove",
    ):  # fmt: skip
        form = {"name": "eve", "role": "admin", "team": "default", "password": OTHER}
        assert stage.send(page, far, f"/administration{path}", form).json()["detail"] == "this needs the role admin", (
            path
        )
    theirs = far.operations.call("keys", {"user": "eve"})["keys"][0]["id"]
    assert stage.send(page, far, f"/automation/keys/{theirs}/remove", {}).status == 403
    assert far.operations.call("user", {"name": "eve"})["role"] == "viewer"
    assert far.operations.call("keys", {"user": "eve"})["keys"]
    context.close()


def test_ones_password_is_changed_with_the_old_one_alone(browser: Browser, far: FarLab) -> None:
    context = stage.somebody(browser, far, "pat", role="viewer")
    page = context.new_page()
    for current, new, again, words in (
        ("wrong", OTHER, OTHER, "wrong"),
        (stage.PASSWORD, OTHER, "other", "differ"),
        (stage.PASSWORD, "short", "short", "refused"),
    ):
        page.goto(far.ui("/automation"))
        for name, text in (("current", current), ("new", new), ("again", again)):
            page.fill(f"[name={name}]", text)
        page.get_by_role("button", name="Change it").click()
        expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    for name, text in (("current", stage.PASSWORD), ("new", OTHER), ("again", OTHER)):
        page.fill(f"[name={name}]", text)
    page.get_by_role("button", name="Change it").click()
    page.wait_for_url("**/ui/sign-in")
    page.fill("[name=name]", "pat")
    page.fill("[name=password]", OTHER)
    page.click("form button")
    page.wait_for_url("**/ui/overview")
    context.close()


def test_an_admin_ends_anothers_sessions(browser: Browser, far: FarLab, page: Page) -> None:
    context = stage.somebody(browser, far, "sam", role="viewer")
    page.goto(far.ui("/administration/sessions"))
    page.get_by_role("link", name="sam").click()
    page.get_by_role("button", name="End all").click()
    expect(page.get_by_role("status").filter(has_text="have ended")).to_be_visible()
    theirs = context.new_page()
    theirs.goto(far.ui("/automation"))
    assert "/sign-in" in theirs.url
    context.close()


def test_health_shows_every_check_without_being_asked(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/administration/health"))
    expect(page.get_by_role("row").filter(has_text="control database")).to_contain_text("sound")
    expect(page.get_by_text("data directory", exact=True).first).to_be_visible()
    assert far.sandbox.client_secret not in page.content()


def test_allow_lists_show_entries_and_what_they_took_out(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/administration/lists"))
    row = page.get_by_role("row").filter(has_text="ours").filter(has_text="merged")
    expect(row).to_contain_text("1 of merged")
    row.get_by_role("link").click()
    expect(page.locator("tbody")).to_contain_text(ALLOWED)


def test_hostile_words_in_every_field_are_text(page: Page, far: FarLab) -> None:
    page.goto(far.ui("/administration/users"))
    for word in (HOSTILE, "'; DROP TABLE users; --", "x" * 5000, "\x00", "../../etc"):
        for name in ("name", "role", "team", "display", "tags", "password"):
            usual = {"name": "new", "role": "viewer", "team": "default", "password": ""}
            answer = stage.send(page, far, "/administration/users", {**usual, name: word})
            assert answer.status < 500, (name, word[:20])
            assert "another site" not in answer.text()
            if "new" in {each["name"] for each in far.operations.call("users", {})["users"]}:
                far.operations.call("user_remove", {"name": "new"})
        for name in ("label", "scopes", "ttl"):
            answer = stage.send(page, far, "/automation/keys", {name: word})
            assert answer.status < 500, (name, word[:20])
            assert "another site" not in answer.text()
        for path in ("users", "lists"):
            assert page.request.get(far.ui(f"/administration/{path}/{quote(word, safe='')}")).status < 500
        for path in ("users?text=", "users?sort=", "keys?text=", "lists/ours?start="):
            assert page.request.get(far.ui(f"/administration/{path}{quote(word)}")).status < 500
    for path in ("/automation", "/administration/keys"):
        page.goto(far.ui(path))
        assert stage.SCRIPT not in page.content()
        assert page.title() != "owned"
