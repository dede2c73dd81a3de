"""Single sign-on: who comes in, as what, and every way in which an answer must not be believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from ruamel.yaml import YAML

from api.asking import PASSWORD, Client
from api.issuing import CLIENT, SECRET, Provider, provider
from engine.support import Time
from tipline.api.app import create_app
from tipline.config.check import check_text
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.store.audit import AuditFilter, audit_entries

NODES = {
    "sources": {"mine": {"kind": "local"}},
    "outputs": {"list": {"kind": "list", "inputs": "mine", "access": "readers", "tags": "any"}},
}
START, BACK = "/ui/sign-on/corp", "/ui/sign-on/corp/back"


@pytest.fixture(scope="module")
def listening_provider() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
def corp(listening_provider: Provider) -> Provider:
    """The provider as it is at first."""
    address, url = vars(listening_provider), listening_provider.url
    address.update({**vars(Provider()), "url": url})
    return listening_provider


class House:
    """The application with an issuer, and a browser that goes through a sign-in."""

    def __init__(self, folder: Path, corp: Provider, single: dict[str, Any] | None = None, **issuer: Any) -> None:
        self.corp = corp
        issuers = {"corp": corp.settings(**issuer)}
        text = {**NODES, "single_sign_on": {"issuers": issuers, **(single or {})}}
        path = folder / "tipline.yml"
        with path.open("w") as file:
            YAML().dump(text, file)
        self.time = Time()
        self.engine = Engine(check_text(path.read_text(), path).usable(), in_memory=True, clock=self.time)
        self.operations = Operations(self.engine)
        self.app: FastAPI = create_app(self.operations, "t0ken")
        self.accounts = Accounts(self.engine.control, self.engine.clock)

    def close(self) -> None:
        self.operations.close()
        self.engine.close()

    def browser(self) -> Client:
        return Client(self.app, headers={"sec-fetch-site": "same-origin"})

    def sent(self, browser: Client, way: str = "") -> str:
        """Where a browser is sent."""
        answer = browser("GET", START, params={"next": way} if way else None)
        assert answer.status_code == 303, answer.text
        browser.cookies |= dict(answer.cookies)
        return answer.headers["location"]

    def back(self, browser: Client, query: dict[str, str]) -> Any:
        answer = browser("GET", BACK, params=query, headers={"accept": "application/json"})
        browser.cookies |= dict(answer.cookies)
        return answer

    def through(self, browser: Client, way: str = "") -> Any:
        """A whole sign-in; the last answer."""
        return self.back(browser, self.corp.agrees(self.sent(browser, way)))

    def refused(self, browser: Client, query: dict[str, str], *words: str, status: int = 401) -> None:
        answer = self.back(browser, query)
        assert answer.status_code == status, answer.text
        for word in words:
            assert word in answer.json()["error"]
        assert browser("GET", "/ui/session", headers={"accept": "application/json"}).status_code == 401

    def audited(self, action: str) -> list[dict[str, Any]]:
        return audit_entries(self.engine.control, 100, AuditFilter(action=action))


@pytest.fixture
def house(tmp_path: Path, corp: Provider) -> Iterator[House]:
    with closing(House(tmp_path, corp)) as found:
        yield found


def test_somebody_comes_in_and_is_made_as_their_claim_says(house: House, corp: Provider) -> None:
    browser = house.browser()
    address = house.sent(browser, "/ui/feeds?q=plain")
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert address.startswith(f"{corp.url}/authorize?")
    assert query["redirect_uri"] == f"http://tipline{BACK}"
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    answer = house.back(browser, corp.agrees(address))
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/feeds?q=plain")
    verifier = corp.forms[-1]["code_verifier"]
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    assert digest == query["code_challenge"]
    who = browser("GET", "/ui/session", headers={"accept": "application/json"}).json()
    assert (who["name"], who["role"], who["team"]) == ("ida@example.org", "analyst", "blue")
    user = house.accounts.user("ida@example.org")
    assert (user["display"], user["has_password"], user["subject"]) == ("Ida Example", False, f"{corp.url} 0-17")
    assert house.audited("user add")[0]["detail"]["by"] == "single sign-on corp"
    assert SECRET not in json.dumps(house.audited("user add"), default=str)


def test_the_client_proves_itself_by_basic_authentication_or_as_the_issuer_takes_it(
    house: House, corp: Provider
) -> None:
    house.through(house.browser())
    shown = base64.b64decode(corp.forms[-1]["authorization"].removeprefix("Basic ")).decode()
    assert shown == f"{CLIENT}:{SECRET.replace(' ', '%20')}"
    assert "client_secret" not in corp.forms[-1]


def test_an_issuer_that_takes_the_secret_in_the_form_gets_it_there(tmp_path: Path, corp: Provider) -> None:
    corp.document = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    with closing(House(tmp_path, corp)) as house:
        house.through(house.browser())
        assert (corp.forms[-1]["client_secret"], corp.forms[-1]["authorization"]) == (SECRET, "")


def test_a_public_client_shows_no_secret(tmp_path: Path, corp: Provider) -> None:
    with closing(House(tmp_path, corp, client_secret=None)) as house:
        assert house.through(house.browser()).status_code == 303
        assert (corp.forms[-1]["client_id"], corp.forms[-1]["authorization"]) == (CLIENT, "")


def test_role_and_team_follow_the_claim_at_each_sign_in(house: House, corp: Provider) -> None:
    first = house.browser()
    house.through(first)
    corp.claims = {"groups": ["leads", "soc"], "name": "Ida Other"}
    house.through(house.browser())
    user = house.accounts.user("ida@example.org")
    assert (user["role"], user["team"], user["display"]) == ("admin", "default", "Ida Other")
    entry = house.audited("user change")[0]
    assert (entry["detail"]["before"]["role"], entry["detail"]["after"]["role"]) == ("analyst", "admin")
    assert first("GET", "/ui/session", headers={"accept": "application/json"}).status_code == 401
    corp.claims = {"groups": ["soc"]}  # the only admin may lose the role: commands of the machine remain
    house.through(house.browser())
    assert house.accounts.user("ida@example.org")["role"] == "analyst"
    assert len(house.accounts.users()) == 1


def test_nobody_without_a_group_that_fits_comes_in_and_who_loses_it_is_signed_out(house: House, corp: Provider) -> None:
    corp.claims = {"groups": ["everyone"]}
    browser = house.browser()
    house.refused(browser, corp.agrees(house.sent(browser)), "ida@example.org", "nothing there", status=403)
    assert house.accounts.users() == []
    assert house.audited("sign-in refused")[0]["detail"]["reason"] == "no grant fits"
    corp.claims = {}
    inside = house.browser()
    house.through(inside)
    corp.claims = {"groups": []}
    house.refused(browser, corp.agrees(house.sent(browser)), "nothing there", status=403)
    assert inside("GET", "/ui/session", headers={"accept": "application/json"}).status_code == 401


def test_a_claim_that_the_token_leaves_out_comes_from_the_user_info(house: House, corp: Provider) -> None:
    corp.claims, corp.more = {"groups": None}, {"sub": "0-17", "groups": ["soc"]}
    assert house.through(house.browser()).status_code == 303
    corp.more = {"sub": "0-18", "groups": ["leads"]}
    browser = house.browser()
    house.refused(browser, corp.agrees(house.sent(browser)), "somebody else")


def test_what_the_issuer_leaves_out_is_told(house: House, corp: Provider) -> None:
    corp.claims, corp.more = {"groups": None}, {"sub": "0-17"}
    browser = house.browser()
    house.refused(browser, corp.agrees(house.sent(browser)), "says nothing about groups", status=403)
    corp.claims["_claim_names"] = {"groups": "src1"}
    house.refused(browser, corp.agrees(house.sent(browser)), "too many", status=403)


def test_a_claim_is_named_by_a_path_and_a_name_with_dots_counts_first(tmp_path: Path, corp: Provider) -> None:
    with closing(House(tmp_path, corp, claim="realm_access.roles")) as house:
        corp.claims = {"realm_access": {"roles": ["soc"]}}
        assert house.through(house.browser()).status_code == 303
        corp.claims = {"realm_access": {"roles": ["soc"]}, "realm_access.roles": ["other"]}
        browser = house.browser()
        house.refused(browser, corp.agrees(house.sent(browser)), "nothing there", status=403)


def wrong_tokens(corp: Provider) -> dict[str, tuple[str | None, dict[str, Any]]]:
    """Tokens that must not be believed: (token, or claims over the right ones)."""
    now = int(time.time())
    other = rsa.generate_private_key(65537, 2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(corp.key.public_key())
    head = _part({"alg": "HS256", "typ": "JWT", "kid": corp.kid})
    body = _part({**corp.right(), "nonce": corp.nonce})
    keyed = base64.urlsafe_b64encode(hmac.new(public.encode(), f"{head}.{body}".encode(), "sha256").digest()).decode()
    return {
        "another nonce": (None, {"nonce": "another"}),
        "no nonce": (None, {"nonce": None}),
        "another audience": (None, {"aud": "another client"}),
        "one of several audiences, and nobody's party": (None, {"aud": [CLIENT, "another"]}),
        "another party": (None, {"aud": [CLIENT, "another"], "azp": "another"}),
        "another issuer": (None, {"iss": "https://evil.example"}),
        "over": (None, {"exp": now - 3600}),
        "without an end": (None, {"exp": None}),
        "of tomorrow": (None, {"iat": now + 86_400}),
        "nobody": (None, {"sub": None}),
        "not signed": (f"{_part({'alg': 'none'})}.{body}.", {}),
        "signed with the public key as a secret": (f"{head}.{body}.{keyed.rstrip('=')}", {}),
        "signed with the client's secret": (
            jwt.encode({**corp.right(), "nonce": corp.nonce}, SECRET.ljust(32), "HS256", {"kid": corp.kid}), {},
        ),
        "signed with another key": (corp.signed({**corp.right(), "nonce": corp.nonce}, key=other), {}),
        "of a key that is not published": (corp.signed({**corp.right(), "nonce": corp.nonce}, key=other, kid="x"), {}),
        "no token": ("garbage", {}),
    }  # fmt: skip


def test_no_token_that_does_not_hold_is_believed(house: House, corp: Provider) -> None:
    for what in wrong_tokens(corp):
        browser = house.browser()
        query = corp.agrees(house.sent(browser))
        corp.token, corp.claims = wrong_tokens(corp)[what]
        answer = house.back(browser, query)
        assert (what, answer.status_code) == (what, 401)
        assert (what, house.accounts.users()) == (what, [])
    corp.token, corp.claims = None, {}
    assert house.through(house.browser()).status_code == 303


def test_what_comes_back_has_to_be_what_this_browser_was_sent_with(house: House, corp: Provider) -> None:
    browser, other = house.browser(), house.browser()
    query = corp.agrees(house.sent(browser))
    house.refused(browser, {"code": query["code"]}, "was not sent")  # no state
    house.refused(browser, {**query, "state": "another"}, "was not sent")
    house.refused(browser, {**query, "state": query["state"][:-1] + "-"}, "has ended")
    house.refused(house.browser(), query, "was not sent")  # another's code, given to a browser that asked for none
    house.sent(other)
    house.refused(other, query, "was not sent")
    name = next(iter(browser.cookies))
    forged = Client(house.app)
    forged.cookies = {name: browser.cookies[name][:-6] + "AAAAAA"}
    house.refused(forged, query, "was not sent")
    assert corp.forms == []
    assert house.back(browser, query).status_code == 303


def test_a_sign_in_comes_back_once_and_in_time(house: House, corp: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = house.browser()
    query = corp.agrees(house.sent(browser))
    cookies = dict(browser.cookies)
    assert house.back(browser, query).status_code == 303
    again = house.browser()
    again.cookies = cookies
    house.refused(again, query, "used already")
    assert len(corp.forms) == 1
    query = corp.agrees(house.sent(again))
    later = time.time() + 601
    monkeypatch.setattr("tipline.api.sign_on.time.time", lambda: later)
    house.refused(again, query, "has ended")


def test_a_code_that_the_issuer_took_before_is_refused(house: House, corp: Provider) -> None:
    house.through(house.browser())
    browser = house.browser()
    query = corp.agrees(house.sent(browser), code="another")
    house.refused(browser, {**query, "code": "c0de"}, "invalid_grant")


def test_one_issuers_answer_is_not_taken_for_anothers(tmp_path: Path, corp: Provider) -> None:
    with provider() as evil:
        issuers = {"corp": corp.settings(), "evil": evil.settings(grants=[{"value": "soc", "role": "viewer"}])}
        with closing(House(tmp_path, corp, {"issuers": issuers})) as house:
            browser = house.browser()
            query = corp.agrees(house.sent(browser))
            mixed = browser("GET", "/ui/sign-on/evil/back", params=query, headers={"accept": "application/json"})
            assert (mixed.status_code, "another's" in mixed.json()["error"]) == (401, True)
            assert (evil.forms, corp.forms) == ([], [])
            house.refused(browser, {**query, "iss": evil.url}, "another issuer")
            assert corp.forms == []


def test_an_issuer_that_names_itself_with_each_answer_has_to(tmp_path: Path, corp: Provider) -> None:
    corp.document = {"authorization_response_iss_parameter_supported": True}
    with closing(House(tmp_path, corp)) as house:
        browser = house.browser()
        query = corp.agrees(house.sent(browser))
        house.refused(browser, query, "another issuer")
        assert house.back(browser, {**query, "iss": corp.url}).status_code == 303


@pytest.mark.parametrize(
    "way",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/ui/\\..", "javascript:alert(1)", "/api/v1/me"],
)
def test_nobody_is_led_away(house: House, way: str) -> None:
    answer = house.through(house.browser(), way)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/overview")


def test_what_the_issuer_says_went_wrong_is_text(house: House) -> None:
    browser = house.browser()
    query = house.corp.agrees(house.sent(browser))
    told = {"error": "access_denied", "error_description": "<script>x</script>\x1b", "state": query["state"]}
    answer = browser("GET", BACK, params=told, headers={"accept": "text/html"})
    assert answer.status_code == 401
    assert "access_denied &lt;script&gt;" in answer.text
    assert "\x1b" not in answer.text


def test_an_issuer_that_turns_its_keys_is_asked_again(house: House, corp: Provider) -> None:
    house.through(house.browser())
    asked = corp.asked.count("/keys")
    house.through(house.browser())
    assert corp.asked.count("/keys") == asked
    corp.turn_keys()
    assert house.through(house.browser()).status_code == 303
    assert corp.asked.count("/keys") == asked + 1


def test_an_issuer_that_is_down_is_told_and_passwords_still_work(tmp_path: Path, corp: Provider) -> None:
    corp.down = True
    with closing(House(tmp_path, corp)) as house:
        house.accounts.add("ada", role="admin", team="default", password=PASSWORD)
        browser = house.browser()
        answer = browser("GET", START, headers={"accept": "application/json"})
        assert (answer.status_code, "503" in answer.json()["error"]) == (502, True)
        entered = browser("POST", "/ui/sign-in", data={"name": "ada", "password": PASSWORD})
        assert entered.status_code == 303
    with provider() as gone:
        pass
    with closing(House(tmp_path, gone)) as house:
        answer = house.browser()("GET", START, headers={"accept": "application/json"})
        assert (answer.status_code, "does not answer" in answer.json()["error"]) == (502, True)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"issuer": "https://evil.example"}, "https://evil.example"),
        ({"token_endpoint": "http://192.0.2.1/token"}, "no token_endpoint"),
        ({"jwks_uri": None}, "no jwks_uri"),
    ],
)
def test_an_issuer_that_is_another_or_not_safe_is_refused(
    tmp_path: Path, corp: Provider, document: dict[str, Any], words: str
) -> None:
    corp.document = document
    with closing(House(tmp_path, corp)) as house:
        answer = house.browser()("GET", START, headers={"accept": "application/json"})
        assert (answer.status_code, words in answer.json()["error"]) == (502, True)


def test_an_account_of_the_same_name_is_not_taken_over_until_an_admin_says_so(house: House, corp: Provider) -> None:
    house.accounts.add("ida@example.org", role="viewer", team="default", password=PASSWORD)
    browser = house.browser()
    house.refused(browser, corp.agrees(house.sent(browser)), "another user", f"{corp.url} 0-17", status=403)
    changes = {"subject": f"{corp.url} 0-17"}
    house.operations.call("user_change", {"name": "ida@example.org", "changes": changes})
    assert house.through(browser).status_code == 303
    assert house.accounts.user("ida@example.org")["team"] == "blue"
    house.accounts.add("ben", role="viewer", team="default")
    answer = house.browser()("GET", "/ui/sign-on/nobody")
    assert answer.status_code == 404
    with pytest.raises(Exception, match=r"ida@example\.org already"):
        house.operations.call("user_change", {"name": "ben", "changes": changes})
    with pytest.raises(Exception, match="nobody in single sign-on"):
        house.operations.call("user_change", {"name": "ben", "changes": {"subject": "ben"}})
    house.operations.call("user_change", {"name": "ida@example.org", "changes": {"subject": ""}})
    assert house.accounts.user("ida@example.org")["subject"] is None


def test_whoever_is_disabled_here_stays_out(house: House, corp: Provider) -> None:
    house.through(house.browser())
    house.accounts.add("ada", role="admin", team="default", password=PASSWORD)
    house.accounts.change("ida@example.org", disabled=True)
    browser = house.browser()
    house.refused(browser, corp.agrees(house.sent(browser)), "disabled", status=403)


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "guest_evil.example#EXT#@corp"}, "guest_evil.example-EXT-@corp"),
        ({"preferred_username": None, "email": "i@example.org"}, "i@example.org"),
        ({"preferred_username": None, "email": "i@example.org", "email_verified": False}, "0-17"),
        ({"preferred_username": "<script>"}, "-script-".lstrip("-")),
        ({"preferred_username": "\u202e"}, "somebody"),
    ],
)
def test_names_are_made_of_letters_that_names_have(
    house: House, corp: Provider, claims: dict[str, Any], name: str
) -> None:
    corp.claims = {**claims, "name": "Ida\x1b\u202e"}
    assert house.through(house.browser()).status_code == 303
    (user,) = house.accounts.users()
    assert (user["name"], user["display"]) == (name, "Ida")


def test_with_only_passwords_let_in_feed_readers_alone(tmp_path: Path, corp: Provider) -> None:
    with closing(House(tmp_path, corp, {"only": True})) as house:
        page = house.browser()("GET", "/ui/sign-in", headers={"accept": "text/html"})
        assert ("Sign in with corp" in page.text, "password" in page.text.lower()) == (True, False)
        house.accounts.add("ada", role="admin", team="default", password=PASSWORD)
        house.accounts.add("fw", role="reader", team="default", password=PASSWORD)
        browser = house.browser()
        told = browser(
            "POST", "/ui/sign-in", data={"name": "ada", "password": PASSWORD}, headers={"accept": "application/json"}
        )
        assert (told.status_code, "let nobody in" in told.json()["error"]) == (401, True)
        for name, path, status in (("ada", "/api/v1/me", 401), ("fw", "/api/v1/me", 200)):
            shown = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
            assert Client(house.app)("GET", path, headers={"Authorization": f"Basic {shown}"}).status_code == status
        assert house.through(browser).status_code == 303


def test_keys_last_as_long_as_their_owner_comes(tmp_path: Path, corp: Provider) -> None:
    with closing(House(tmp_path, corp, keys_last="30d")) as house:
        house.through(house.browser())
        house.accounts.add("tool", role="viewer", team="default")
        keys = {name: house.accounts.make_key(name)["key"] for name in ("ida@example.org", "tool")}

        def status(name: str) -> int:
            found: int = Client(house.app)("GET", "/api/v1/me", headers={"Authorization": keys[name]}).status_code
            return found

        assert (status("ida@example.org"), status("tool")) == (200, 200)
        house.time.forward(days=31)
        assert (status("ida@example.org"), status("tool")) == (401, 200)
        house.through(house.browser())
        assert status("ida@example.org") == 200


def logout(corp: Provider, **claims: Any) -> str:
    usual = {
        "iss": corp.url, "aud": CLIENT, "sub": "0-17", "iat": int(time.time()), "jti": "1",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }  # fmt: skip
    return corp.signed({**usual, **claims})


def test_the_issuer_ends_sessions(house: House, corp: Provider) -> None:
    corp.claims = {"sid": "s1"}
    one, two = house.browser(), house.browser()
    house.through(one)
    corp.claims = {"sid": "s2"}
    house.through(two)
    house.accounts.add("ada", role="admin", team="default", password=PASSWORD)
    plain = Client(house.app)

    def inside(browser: Client) -> bool:
        answer = browser("GET", "/ui/session", headers={"accept": "application/json"})
        return bool(answer.status_code == 200)

    for token in (
        logout(corp, aud="another"),
        logout(corp, events={}),
        logout(corp, nonce="n"),
        logout(corp, sub=None),
        logout(corp, iss="https://evil.example"),
        jwt.encode({"iss": corp.url, "aud": CLIENT, "sub": "0-17"}, "x" * 32, "HS256"),
        "",
    ):
        answer = plain("POST", "/ui/sign-on/corp/logout", data={"logout_token": token})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (inside(one), inside(two)) == (True, True)
    answer = plain("POST", "/ui/sign-on/corp/logout", data={"logout_token": logout(corp, sid="s1")})
    assert (answer.status_code, answer.json()) == (200, {"ended": 1})
    assert (inside(one), inside(two)) == (False, True)
    answer = plain("POST", "/ui/sign-on/corp/logout", data={"logout_token": logout(corp)})
    assert (answer.json(), inside(two)) == ({"ended": 1}, False)
    assert house.audited("sessions end")[0]["detail"]["ended"] == 1
    # Whoever sends garbage does not make us ask the issuer each time.
    asked = corp.asked.count("/keys")
    for _ in range(5):
        wrong = corp.signed({"iss": corp.url}, kid="unknown")
        plain("POST", "/ui/sign-on/corp/logout", data={"logout_token": wrong})
    assert corp.asked.count("/keys") <= asked + 1


def test_who_signs_out_here_is_offered_to_sign_out_there(house: House, corp: Provider) -> None:
    browser = house.browser()
    house.through(browser)
    page = browser("GET", "/ui/automation", headers={"accept": "text/html"})
    csrf = page.text.split('name="csrf" value="')[1].split('"')[0]
    answer = browser("POST", "/ui/sign-out", data={"csrf": csrf})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/sign-in?left=corp")
    browser.cookies = {}
    left = browser("GET", answer.headers["location"], headers={"accept": "application/json"}).json()
    assert left["leaving"].startswith(
        f"{corp.url}/end?client_id={CLIENT}&post_logout_redirect_uri=http%3A%2F%2Ftipline"
    )
    assert browser("GET", "/ui/sign-in?left=else", headers={"accept": "application/json"}).json()["leaving"] is None


def _part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")
