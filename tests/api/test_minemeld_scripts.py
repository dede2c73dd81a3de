"""MineMeld's API over HTTP, called the way that published scripts call it: by urllib, by sessions, by curl's forms."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.listening import listening
from tipline.api.app import create_app
from tipline.config.check import check_text
from tipline.engine.configuring import Configuring
from tipline.engine.core import Engine
from tipline.engine.operations import Operations

PASSWORD = "four unrelated words: tripod lemon"
SECRET = "0123456789abcdef0123456789abcdef"
CONFIG = f"""\
sources:
  blocked: {{kind: local, tlp: clear, ttl: 1d}}
  feed: {{kind: lines, url: 'https://feeds.example.org/list?api_key={SECRET}', enabled: false, confidence: 80}}
outputs:
  all: {{kind: list, inputs: [blocked, feed]}}
  locked: {{kind: list, inputs: blocked, access: key, keys: [{SECRET}]}}
"""


class Served:
    """A server on loopback, and what tests look into behind it."""

    def __init__(self, url: str, operations: Operations, path: Path) -> None:
        self.url, self.operations, self.path = url, operations, path

    def session(self, name: str = "admin", password: str = PASSWORD) -> httpx.Client:
        """As `requests` with `auth=`."""
        return httpx.Client(base_url=self.url, auth=(name, password), trust_env=False, timeout=60)

    def anonymous(self, **headers: str) -> httpx.Client:
        """As a session that has yet to sign in."""
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def edit(self, text: str) -> None:
        """Keep a candidate, as the pages do."""
        made = self.operations.call("configuration", {})
        revision = made["candidate"]["revision"] if made["candidate"] else 0
        found = {"text": text, "base": made["version"], "revision": revision, "user": "ada"}
        self.operations.call("save_candidate", found)


@pytest.fixture(name="served")
def _served(tmp_path: Path) -> Iterator[Served]:
    path = tmp_path / "tipline.yml"
    path.write_text(CONFIG)
    with (
        Engine(check_text(CONFIG, path).usable()) as engine,
        closing(Operations(engine)) as operations,
    ):
        Configuring(operations.scheduler).reload("start")
        app = create_app(operations, "t0ken")
        accounts = app.state.identity.accounts
        for name, role in (("admin", "admin"), ("analyst", "analyst"), ("looker", "viewer")):
            accounts.add(name, role=role, team="default", password=PASSWORD)
        with listening(app) as url:
            yield Served(url, operations, path)


def test_a_synchronising_script(served: Served) -> None:
    """As minemeld-sync.py and XSOAR's integration: the class first, then what is there, then additions and ttl 0."""
    with served.session("analyst") as minemeld:
        (node,) = [each for each in minemeld.get("/status/minemeld").json()["result"] if each["name"] == "blocked"]
        assert node["class"] == "minemeld.ft.localdb.Miner"  # they refuse any other class

        there = minemeld.get("/config/data/blocked_indicators?t=localdb").json()["result"]
        assert there == []
        added = [
            {"indicator": "203.0.114.9", "type": "IPv4", "share_level": "yellow", "comment": "SOC", "ttl": "disabled"},
            {"indicator": "bad.example.org", "type": "domain", "share_level": "white"},
        ]
        answer = minemeld.post("/config/data/blocked_indicators/append?h=blocked&t=localdb", json=added)
        assert (answer.status_code, answer.json()) == (200, {"result": "ok"})
        there = {e["indicator"]: e for e in minemeld.get("/config/data/blocked_indicators?t=localdb").json()["result"]}
        assert there["203.0.114.9"]["_expiration_ts"] == "disabled"
        domain = there["bad.example.org"]
        assert domain["_expiration_ts"] - domain["_update_ts"] == 86_400_000  # the miner's default_ttl
        assert minemeld.get("/feeds/all").text == "bad.example.org\n"  # amber is above a public list's level

        gone = {**there["bad.example.org"], "ttl": 0}
        assert minemeld.post("/config/data/blocked_indicators/append?h=blocked&t=localdb", json=[gone]).is_success
        assert minemeld.get("/feeds/all").text == ""


def test_scripts_that_forget_the_kind_of_file(served: Served) -> None:
    """As PowerShell and chat-bot scripts: one record without t= (MineMeld wrote that where nobody read it)."""
    record = {"indicator": "203.0.114.9", "type": "IPv4", "share_level": "white", "comment": "by a bot"}
    headers = {"Authorization": "Basic " + base64.b64encode(f"analyst:{PASSWORD}".encode()).decode()}
    with served.anonymous(**headers) as minemeld:
        url = "/config/data/blocked_indicators/append?h=blocked"
        body = json.dumps(record).encode()
        assert minemeld.post(url, content=body, headers={"Content-Type": "application/json"}).json() == {"result": "ok"}
        assert minemeld.get("/feeds/all").text == "203.0.114.9\n"


def test_a_session_is_kept_by_a_cookie(served: Served) -> None:
    """As scripts with `requests.Session()`: sign in once, then write without a token of a page's."""
    form = {"u": "analyst", "p": PASSWORD}
    ways: list[Callable[[httpx.Client], httpx.Response]] = [
        lambda client: client.post("/login", data=form),
        lambda client: client.get("/login", params=form),
    ]
    for way in ways:
        with served.anonymous() as minemeld:
            answer = way(minemeld)
            assert (answer.status_code, answer.text) == (200, "OK")
            assert "httponly" in answer.headers["set-cookie"].lower()
            assert minemeld.get("/aaa/users/current").json()["result"] == {"id": "analyst", "read_write": False}
            record = {"indicator": "203.0.114.9", "type": "IPv4"}
            url = "/config/data/blocked_indicators/append?h=blocked&t=localdb"
            assert minemeld.post(url, json=record).json() == {"result": "ok"}
            foreign = minemeld.post(url, json=record, headers={"Origin": "https://evil.example.org"})
            assert foreign.status_code == 403
            assert minemeld.post(url, json=record, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
            assert (minemeld.get("/logout").text, minemeld.get("/status/info").status_code) == ("OK", 401)


@pytest.mark.parametrize(
    ("given", "headers", "status", "words"),
    [
        ({}, {}, 400, "Missing username"),
        ({"u": "analyst"}, {}, 400, "Missing password"),
        ({"u": "analyst", "p": "wrong"}, {}, 401, "Wrong credentials"),
        ({"u": "nobody", "p": PASSWORD}, {}, 401, "Wrong credentials"),
        ({"u": "analyst", "p": PASSWORD}, {"Sec-Fetch-Site": "cross-site"}, 403, "another site"),
    ],
)
def test_who_does_not_come_in(
    served: Served, given: dict[str, str], headers: dict[str, str], status: int, words: str
) -> None:
    with served.anonymous(**headers) as minemeld:
        answer = minemeld.post("/login", data=given)
        assert answer.status_code == status
        assert words in answer.json()["error"]
        assert "set-cookie" not in answer.headers
        assert minemeld.get("/status/info").status_code == 401


def test_the_configuration_is_shown_without_secrets(served: Served) -> None:
    with served.session("looker") as minemeld:
        running = minemeld.get("/config/running").json()["result"]
        for path in ("/config/committed", "/status/config"):
            assert minemeld.get(path).json()["result"] == running
        assert running["nodes"]["all"] == {
            "class": "minemeld.ft.redis.RedisSet", "inputs": ["blocked", "feed"], "output": False,
            "config": {"kind": "list"},
        }  # fmt: skip
        assert running["nodes"]["feed"]["config"]["confidence"] == 80
        full = minemeld.get("/config/full")
        assert SECRET not in full.text + json.dumps(running)
        found = full.json()["result"]
        info = minemeld.get("/config/info").json()["result"]
        assert {name: found[name] for name in info} == info
        assert (info["fabric"], info["mgmtbus"], info["changed"]) == (False, False, False)
        assert info["next_node_id"] == len(found["nodes"]) == len(running["nodes"])
        assert {node["name"]: node["properties"] for node in found["nodes"]} == running["nodes"]
        assert minemeld.get("/config/node/0").json()["result"] == found["nodes"][0]
        assert minemeld.get(f"/config/node/{len(found['nodes'])}").status_code == 404
        assert minemeld.get("/config/node/x").status_code == 400


def test_a_commit_puts_the_candidate_to_work(served: Served) -> None:
    """As deployment scripts: /config/full for the version, /config/commit with it, then a restart."""
    changed = CONFIG.replace("confidence: 80", "confidence: 90")
    with served.session() as minemeld:
        nothing = minemeld.post(
            "/config/commit", json={"version": minemeld.get("/config/info").json()["result"]["version"]}
        )
        assert (nothing.status_code, nothing.json()) == (200, {"result": "OK"})
        before = minemeld.get("/config/full").json()["result"]["version"]
        served.edit(changed)
        info = minemeld.get("/config/info").json()["result"]
        assert info["changed"]
        assert info["version"] != before

        late = minemeld.post("/config/commit", json={"version": before})
        assert (late.status_code, late.json()) == (409, {"error": {"message": "version mismatch"}})
        none = minemeld.post("/config/commit", json={})
        assert (none.status_code, none.json()) == (400, {"error": {"message": "version required"}})
        done = minemeld.post("/config/commit", json={"version": info["version"]})
        assert (done.status_code, done.json()) == (200, {"result": "OK"})
        assert served.path.read_text() == changed
        assert minemeld.get("/config/running").json()["result"]["nodes"]["feed"]["config"]["confidence"] == 90
        assert minemeld.get("/supervisor/minemeld-engine/restart").json() == {"result": "OK"}
        state = minemeld.get("/supervisor").json()["result"]
        assert state["processes"]["minemeld-web"]["statename"] == "RUNNING"


def test_a_wrong_candidate_is_told_and_not_put_to_work(served: Served) -> None:
    served.edit(CONFIG.replace("inputs: [blocked, feed]", "inputs: [blocked, feeed]"))
    with served.session() as minemeld:
        version = minemeld.get("/config/info").json()["result"]["version"]
        answer = minemeld.post("/config/commit", json={"version": version})
        assert answer.status_code == 402
        (message,) = answer.json()["error"]["message"]
        assert "feeed" in message
        assert served.path.read_text() == CONFIG
        fresh = minemeld.get("/config/reload?c=running").json()["result"]
        info = minemeld.get("/config/info").json()["result"]
        assert (info["version"], info["changed"]) == (fresh, False)
        assert minemeld.get("/config/reload?c=mine").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/config/commit", {"version": "1.0"}),
        ("GET", "/config/reload?c=running", None),
        ("GET", "/supervisor/minemeld-engine/restart", None),
        ("POST", "/config/node", {"name": "x", "properties": {}, "version": "1.0"}),
    ],
)
def test_only_those_who_may_change_it(served: Served, method: str, path: str, body: Any) -> None:
    with served.session("analyst") as analyst, served.anonymous() as nobody:
        assert analyst.request(method, path, json=body).status_code == 403
        assert nobody.request(method, path, json=body).status_code == 401


def test_what_is_not_done_here_says_where(served: Served) -> None:
    with served.session() as minemeld:
        for method, path in (
            ("POST", "/config/node"),
            ("PUT", "/config/node/0"),
            ("DELETE", "/config/node/0?version=1"),
        ):
            answer = minemeld.request(method, path, json={})
            assert answer.status_code == 400
            assert "/api/v1/configuration" in answer.json()["error"]["message"]
        assert minemeld.get("/supervisor/minemeld-engine/stop").status_code == 400
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert minemeld.get("/config/reload?c=running", headers=elsewhere).status_code == 403
