"""Who asks: sessions, keys, passwords; throttling, cross-site writes, proxies, and the first admin."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from api.asking import PASSWORD, Client
from engine.support import Time, configuration, plain, source
from tipline.api.app import create_app
from tipline.api.identity import SECURE_COOKIE, identity_of
from tipline.engine.accounts import Accounts, first_token
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.engine.signin import ABSOLUTE, IDLE, SignInRefusedError
from tipline.model.strength import weakness
from tipline.store.accounts import KEYS, SESSIONS, USERS, some
from tipline.store.audit import AuditFilter, audit_entries

TOKEN = "t0ken"
ME = "/api/v1/me"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def engine(tmp_path: Path, time: Time) -> Iterator[Engine]:
    with Engine(configuration(tmp_path, source("a"), plain("out", "a")), in_memory=True, clock=time) as found:
        yield found


@pytest.fixture
def accounts(engine: Engine) -> Accounts:
    found = Accounts(engine.control, engine.clock)
    found.add("ada", role="admin", team="default", password=PASSWORD)
    return found


@pytest.fixture
def app(engine: Engine) -> Iterator[FastAPI]:
    """The application, with a page to sign in by and one to write to."""
    with closing(Operations(engine)) as operations:
        found = create_app(operations, TOKEN)

        @found.post("/test/sign-in")
        def sign_in(request: Request, name: str, password: str) -> Response:
            identity = identity_of(request)
            _, secret = identity.sign_in(request, name, password)
            answer = Response()
            identity.set_cookie(request, answer, secret)
            return answer

        yield found


def signed_in(app: FastAPI, **headers: str) -> Client:
    client = Client(app, headers=headers)
    answer = client("POST", "/test/sign-in", params={"name": "ada", "password": PASSWORD})
    assert answer.status_code == 200
    client.cookies = dict(answer.cookies)
    return client


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_every_way_to_say_who_one_is(app: FastAPI, accounts: Accounts) -> None:
    key = accounts.make_key("ada")["key"]
    ways: dict[str, dict[str, str]] = {
        "key": {"Authorization": f"Bearer {key}"},
        "password": basic("ada", PASSWORD),
    }
    for how, headers in ways.items():
        assert Client(app, headers=headers)("GET", ME).json()["how"] == how
    # MISP's way, and the key as a password.
    for headers in ({"Authorization": key}, basic("anything", key)):
        assert Client(app, headers=headers)("GET", ME).json()["name"] == "ada"
    assert signed_in(app)("GET", ME).json()["how"] == "session"
    local = {"Authorization": f"Bearer {TOKEN}"}
    assert Client(app, "127.0.0.1", local)("GET", ME).json()["how"] == "local"
    assert Client(app, "192.0.2.1", local)("GET", ME).status_code == 401


@pytest.mark.parametrize("shown", ["Bearer ", "Bearer x", "Basic", "Basic !!", "Basic " + "YQ==", "x" * 40, "é", " "])
def test_nonsense_is_nobody(app: FastAPI, accounts: Accounts, shown: str) -> None:
    raw: Any = {"Authorization": shown.encode("latin-1")}
    assert Client(app)("GET", ME, headers=raw).status_code == 401


def test_nothing_in_the_store_signs_in(engine: Engine, app: FastAPI, accounts: Accounts) -> None:
    key = accounts.make_key("ada")["key"]
    client = signed_in(app)
    rows = str([some(engine.control, table) for table in (USERS, KEYS, SESSIONS)])
    for secret in (key, PASSWORD, *client.cookies.values()):
        assert secret not in rows
    assert "$argon2id$" in rows


def test_sessions_end_by_time_by_signing_out_and_by_a_new_password(
    app: FastAPI, accounts: Accounts, time: Time
) -> None:
    client = signed_in(app)
    time.forward(seconds=(IDLE - timedelta(minutes=1)).total_seconds())
    assert client("GET", ME).status_code == 200
    time.forward(seconds=(IDLE + timedelta(minutes=1)).total_seconds())
    assert client("GET", ME).status_code == 401

    client = signed_in(app)
    for _ in range(int(ABSOLUTE / IDLE) * 2 + 2):
        last = client("GET", ME).status_code
        time.forward(seconds=IDLE.total_seconds() / 2)
    assert last == 401

    client = signed_in(app)
    accounts.change("ada", password="another phrase of unrelated words")
    assert client("GET", ME).status_code == 401


def test_a_session_is_never_one_that_was_brought_along(app: FastAPI, accounts: Accounts) -> None:
    client = signed_in(app)
    before = dict(client.cookies)
    again = client("POST", "/test/sign-in", params={"name": "ada", "password": PASSWORD})
    client.cookies = dict(again.cookies)
    assert client.cookies != before
    old = Client(app)
    old.cookies = before
    assert old("GET", ME).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"X-CSRF-Token": "guessed", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "http://tipline"}, 201),
    ],
)
def test_a_write_by_cookie_comes_from_our_own_page(
    app: FastAPI, accounts: Accounts, headers: dict[str, str], status: int
) -> None:
    client = signed_in(app)
    assert client("POST", "/api/v1/keys", json={}, headers=headers).status_code == status
    assert client("GET", ME, headers=headers).status_code == 200


def test_the_cookie_is_out_of_reach(app: FastAPI, accounts: Accounts, engine: Engine) -> None:
    settings = engine.configuration.settings
    http = settings.http.model_copy(update={"trusted_proxies": ["192.0.2.0/24"]})
    engine.configuration.settings = settings.model_copy(update={"http": http})
    arguments: Any = {"params": {"name": "ada", "password": PASSWORD}}
    plainly = Client(app)("POST", "/test/sign-in", **arguments).headers["set-cookie"]
    assert "HttpOnly" in plainly
    assert "SameSite=lax" in plainly
    proxied = Client(app, headers={"X-Forwarded-Proto": "https"})
    secure = proxied("POST", "/test/sign-in", **arguments).headers["set-cookie"]
    assert secure.startswith(f"{SECURE_COOKIE}=")
    assert "Secure" in secure
    spoofed = Client(app, "198.51.100.1", {"X-Forwarded-Proto": "https"})
    assert "Secure" not in spoofed("POST", "/test/sign-in", **arguments).headers["set-cookie"]


def test_guessing_is_slowed_down_by_name_and_by_address(accounts: Accounts, time: Time) -> None:
    def tries(name: str, password: str, address: str) -> SignInRefusedError | None:
        try:
            accounts.signin.check(name, password, address)
        except SignInRefusedError as exc:
            return exc
        return None

    for number in range(5):
        refused = tries("ada", "wrong", f"192.0.2.{number}")
        assert refused is not None
        assert not refused.wait
    waiting = tries("ada", PASSWORD, "192.0.2.77")
    assert waiting is not None
    assert waiting.wait > 0
    time.forward(seconds=waiting.wait + 1)
    assert tries("ada", PASSWORD, "192.0.2.77") is None

    for number in range(20):
        tries(f"nobody{number}", "wrong", "192.0.2.99")
    slowed = tries("ada", PASSWORD, "192.0.2.99")
    assert slowed is not None
    assert slowed.wait > 0
    assert tries("ada", PASSWORD, "192.0.2.98") is None


def test_failed_sign_ins_of_a_user_are_audited_and_of_nobody_are_not(accounts: Accounts) -> None:
    for name in ("ada", "nobody"):
        with pytest.raises(SignInRefusedError):
            accounts.signin.check(name, "wrong", "192.0.2.7")
    (entry,) = audit_entries(accounts.control, 10, AuditFilter(action="sign-in refused"))
    assert (entry["actor"], entry["team"], entry["subject"], entry["address"]) == (
        "ada", "default", "ada", "192.0.2.7")  # fmt: skip
    assert "wrong" not in str(entry)


def test_disabled_and_expired(app: FastAPI, accounts: Accounts, time: Time) -> None:
    accounts.add("bob", role="viewer", team="default", password=PASSWORD)
    short = accounts.make_key("bob", ttl=timedelta(hours=1))["key"]
    long = accounts.make_key("bob")["key"]
    headers = {"Authorization": short}
    assert Client(app, headers=headers)("GET", ME).status_code == 200
    time.forward(hours=2)
    assert Client(app, headers=headers)("GET", ME).status_code == 401
    accounts.change("bob", disabled=True)
    for shown in ({"Authorization": long}, basic("bob", PASSWORD)):
        assert Client(app, headers=shown)("GET", ME).status_code == 401


def test_there_is_always_an_admin(accounts: Accounts) -> None:
    for change in ({"disabled": True}, {"role": "viewer"}):
        with pytest.raises(RequestError, match="the only admin"):
            accounts.change("ada", **change)
    with pytest.raises(RequestError, match="the only admin"):
        accounts.remove("ada")
    accounts.add("eve", role="admin", team="default")
    accounts.remove("ada")


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "<script>", "a" * 101, "-x", "ada\n", "ädä"])
def test_names_are_plain(accounts: Accounts, name: str) -> None:
    with pytest.raises(RequestError, match="is no name"):
        accounts.add(name, role="viewer", team="default")


@pytest.mark.parametrize("password", ["short", "password1234", "tipline2026!", "ada.lovelace", "x" * 300, "1234567890"])
def test_weak_passwords_are_refused(password: str) -> None:
    assert weakness(password, ["tipline", "ada", "lovelace"])


def test_the_first_admin_needs_the_token_once(engine: Engine, app: FastAPI) -> None:
    token = first_token(engine)
    assert token
    assert first_token(engine) == token
    identity = app.state.identity
    request = Request({"type": "http", "method": "POST", "headers": [], "client": ("192.0.2.1", 1), "path": "/",
                       "scheme": "http", "query_string": b""})  # fmt: skip
    for wrong in ("", "x", token[:-1]):
        with pytest.raises(RequestError, match="token is wrong"):
            identity.make_first(request, wrong, "ada", PASSWORD)
    with pytest.raises(RequestError, match="password is refused"):
        identity.make_first(request, token, "ada", "password")
    assert identity.make_first(request, token, "ada", PASSWORD)["role"] == "admin"
    assert first_token(engine) == ""
    with pytest.raises(RequestError, match="token is wrong"):
        identity.make_first(request, token, "eve", PASSWORD)


def test_answers_carry_security_headers(app: FastAPI) -> None:
    for path in (ME, "/health", "/nothing"):
        headers = Client(app)("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
