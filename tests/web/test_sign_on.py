"""Single sign-on in a browser, by a real OpenID provider on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from api.openid import CLIENT, PASSWORD, SECRET, Canaille, canaille
from programs import free_port
from tipline.api.serving import served
from tipline.config.check import load
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from web import looks, stage

_CONFIG = """\
http: {{url: "http://127.0.0.1:{port}"}}
single_sign_on:
  issuers:
    corp:
      title: Example Corp
      issuer: {issuer}
      client_id: {client}
      client_secret: ${{file:client-secret}}
      scopes: [openid, profile, email, groups]
      claim: groups
      name_claim: sub
      grants:
        - {{value: soc-leads, role: admin}}
        - {{value: soc, role: viewer, team: blue}}
sources:
  mine: {{kind: local}}
outputs:
  list: {{kind: list, inputs: mine}}
"""


@dataclass
class Sso:
    """A server that people sign in to by a provider."""

    lab: stage.Lab
    provider: Canaille


@pytest.fixture(scope="module")
def sso(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sso]:
    """Both running."""
    folder, port = tmp_path_factory.mktemp("sso"), free_port()
    with canaille(folder, f"http://127.0.0.1:{port}/ui/sign-on/corp/back") as provider:
        (folder / "client-secret").write_text(SECRET)
        path = folder / "tipline.yml"
        path.write_text(_CONFIG.format(port=port, issuer=provider.issuer, client=CLIENT))
        with Engine(load(path)) as engine, served(engine, [("127.0.0.1", port)]) as (urls, scheduler):
            operations = Operations(engine, scheduler)
            operations.call("user_add", {"name": stage.ADMIN, "role": "admin", "password": stage.PASSWORD})
            yield Sso(stage.Lab(urls[0], operations, folder), provider)


@pytest.fixture
def fresh(browser: Browser, sso: Sso) -> Iterator[BrowserContext]:
    """A browser that nobody has signed in with."""
    found = browser.new_context(reduced_motion="reduce")
    yield found
    found.close()


def through(page: Page, sso: Sso, name: str, path: str = "/overview") -> None:
    """Go to a page, and sign in at the provider as somebody."""
    page.goto(sso.lab.ui(path))
    page.get_by_role("link", name="Sign in with Example Corp").click()
    page.wait_for_url(f"{sso.provider.issuer}/**")
    page.fill("[name=login]", name)
    page.get_by_role("button", name="Continue").click()
    page.fill("[name=password]", PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_somebody_signs_in_at_the_provider_and_goes_where_they_were_going(fresh: BrowserContext, sso: Sso) -> None:
    with looks.uncomplaining(fresh) as page:
        through(page, sso, "ida", "/administration/users?text=ida")
        page.wait_for_url("**/ui/administration/users?text=ida")
        row = page.get_by_role("row").filter(has_text="Ida Example")
        expect(row).to_contain_text("single sign-on")
        expect(row).to_contain_text("admin")
        page.goto(sso.lab.ui("/automation"))
        expect(page.get_by_role("row").filter(has_text="corp")).to_have_count(1)
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("link", name="Sign out where you signed in, too").click()
        page.wait_for_url(f"{sso.provider.issuer}/**")
    user = sso.lab.operations.call("user", {"name": "ida"})
    assert (user["role"], user["display"], user["subject"]) == ("admin", "Ida Example", f"{sso.provider.issuer} ida")


def test_the_keys_of_the_provider_turn_and_another_team_comes_in(fresh: BrowserContext, sso: Sso) -> None:
    before = httpx.get(f"{sso.provider.issuer}/oauth/jwks.json", trust_env=False).json()["keys"]
    sso.provider.turn_keys()
    after = httpx.get(f"{sso.provider.issuer}/oauth/jwks.json", trust_env=False).json()["keys"]
    assert [each["kid"] for each in before] != [each["kid"] for each in after]
    page = fresh.new_page()
    through(page, sso, "vera")
    page.wait_for_url("**/ui/overview")
    who = page.request.get(sso.lab.ui("/session")).json()
    assert (who["name"], who["role"], who["team"]) == ("vera", "viewer", "blue")
    # Once signed in there, the next sign-in here takes one click.
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in with Example Corp").click()
    page.wait_for_url("**/ui/overview")


def test_whom_no_group_lets_in_is_told_so(fresh: BrowserContext, sso: Sso) -> None:
    page = fresh.new_page()
    through(page, sso, "nobody")
    expect(page.get_by_role("alert")).to_contain_text("vouches for nobody, but nothing there lets you in")
    assert looks.problems(page) == []
    assert "nobody" not in {each["name"] for each in sso.lab.operations.call("users", {})["users"]}


def test_passwords_still_work_and_an_answer_is_used_once(fresh: BrowserContext, sso: Sso) -> None:
    page = fresh.new_page()
    came: list[str] = []
    page.on("request", lambda request: came.append(request.url) if "/sign-on/corp/back" in request.url else None)
    through(page, sso, "vera")
    page.wait_for_url("**/ui/overview")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/ui/sign-in**")
    answer = page.goto(came[0])
    assert answer is not None
    assert answer.status == 401
    expect(page.get_by_role("alert")).to_contain_text("was not sent to sign in")
    stage.enter(page, stage.ADMIN)
    page.wait_for_url("**/ui/overview")


def test_an_admin_sees_the_issuers_and_what_they_answer(browser: Browser, sso: Sso) -> None:
    context = stage.signed_in(browser, sso.lab)
    with looks.uncomplaining(context) as page:
        looks.check_page(page, sso.lab, "/administration/sign-on")
        expect(page.locator("main")).to_contain_text(f"{sso.lab.url}/ui/sign-on/corp/back")
        expect(page.get_by_role("row").filter(has_text="soc-leads")).to_contain_text("admin")
        page.get_by_role("button", name="Ask it now").click()
        expect(page.get_by_role("status").filter(has_text="Example Corp answers")).to_be_visible()
        assert SECRET not in page.content()
    context.close()
