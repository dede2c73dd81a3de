"""The REST API: who may do what, two teams that cannot see each other's red data, paging, tags and limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from api.asking import PRIVATE, RED, SHARED, Client, two_teams
from tipline.api.app import create_app
from tipline.engine.core import Engine
from tipline.engine.operations import Operations

TOKEN = "t0ken"
API = "/api/v1"


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    """Operations on two teams' engine, with everything polled."""
    with Engine(two_teams(tmp_path)) as engine, closing(Operations(engine)) as found:
        for source in ("private-feed", "shared-feed"):
            assert found.call("poll", {"source": source})["state"] == "ok"
        found.call("allow", {"value": "red-only.example.org", "reason": RED, "team": "blue", "user": "bea"})
        yield found


@pytest.fixture
def app(operations: Operations) -> FastAPI:
    return create_app(operations, TOKEN)


def key_of(operations: Operations, name: str, role: str, team: str, **key: Any) -> dict[str, str]:
    operations.call("user_add", {"name": name, "role": role, "team": team})
    return {"Authorization": f"Bearer {operations.call('key_add', {'user': name, **key})['key']}"}


@pytest.fixture
def blue(app: FastAPI, operations: Operations) -> Client:
    return Client(app, headers=key_of(operations, "bea", "editor", "blue"))


@pytest.fixture
def green(app: FastAPI, operations: Operations) -> Client:
    return Client(app, headers=key_of(operations, "gus", "editor", "green"))


@pytest.fixture
def admin(app: FastAPI, operations: Operations) -> Client:
    return Client(app, headers=key_of(operations, "ann", "admin", "default"))


NAMES = ["private-feed", "shared-feed", "merged", "blue-list", "blue-shared", "green-list", "allowed-blue"]
SEARCHES: list[dict[str, Any]] = [
    {}, {"text": RED}, {"text": "203.0.114.0/24"}, {"text": "0.114"}, {"text": "private"}, {"values": [RED]},
    {"tlp": ["red"]}, {"sources": ["private-feed"]}, {"sources": ["shared-feed"]}, {"output": "blue-list"},
    {"output": "blue-shared"}, {"output": "green-list"},
]  # fmt: skip


def everything() -> list[tuple[str, str, Any]]:
    """Each request by which somebody may look at something."""
    asks: list[tuple[str, str, Any]] = [
        ("GET", path, None)
        for path in (
            "/status", "/health", "/nodes", "/holds", "/feeds", "/feeds/overlap", "/deliveries", "/teams", "/me",
            "/feeds/misp", "/feeds/worth", "/readers", "/feeds/private-feed", "/feeds/shared-feed",
            "/keys", "/sessions", "/configuration", "/configuration/versions",
            "/configuration/versions/1", "/secrets", "/audit", "/users", "/metrics", "/vitals",
            "/allow-lists", "/library", "/library/spamhaus-drop", f"/indicators?text={RED}",
            "/feeds/overlap?source=private-feed", "/feeds/overlap?source=shared-feed&source=private-feed",
        )
    ]  # fmt: skip
    for name in NAMES:
        asks += [("GET", f"/nodes/{name}{rest}", None) for rest in ("", "/indicators", "/runs")]
        asks.append(("GET", f"/configuration/nodes/{name}", None))
        looks = ("receipts", f"receipts?text={RED}", "far-side", "slots", "defender", "sentinel", "preview")
        asks += [("GET", f"/deliveries/{name}/{way}", None) for way in looks]
        asks += [("POST", f"/deliveries/{name}/{way}", None) for way in ("reconcile", "check", "retry", "adopt")]
        asks += [("POST", f"/holds/{name}/approve", None), ("POST", f"/nodes/{name}/poll", None)]
    for value in (RED, "private.example.org", "red-only.example.org"):
        asks.append(("GET", f"/indicators/why?value={value}", None))
        asks.append(("POST", "/indicators/lookup", {"values": [value]}))
        asks.append(("POST", "/indicators/remove", {"values": [value], "source": "private-feed", "everyone": True}))
    asks += [("POST", f"/indicators/{way}", body) for search in SEARCHES for way, body in
             (("search", {"filters": search}), ("facets", search))]  # fmt: skip
    return asks


def told(answer: Any) -> str:
    """What an answer tells besides what was asked with."""
    return str(answer.text)


def test_no_endpoint_tells_a_team_of_anothers_red_data(green: Client, blue: Client) -> None:
    secret = {RED, "private.example.org", "red-only.example.org", PRIVATE}
    seen: set[str] = set()
    for method, path, body in everything():
        asked = path + json.dumps(body)
        theirs, ours = (client(method, API + path, json=body) for client in (green, blue))
        assert theirs.status_code < 500, (path, theirs.text)
        assert ours.status_code < 500, (path, ours.text)
        for word in secret:
            if word not in asked:
                assert word not in theirs.text, (method, path, theirs.text)
            elif theirs.status_code == 200:
                document = theirs.json()
                kept = {name: found for name, found in document.items() if name not in {"indicator", "results"}}
                assert word not in json.dumps(kept), (method, path, theirs.text)
                assert all(not each["hits"] for each in document.get("results", [])), theirs.text
            if word in ours.text:
                seen.add(word)
    assert seen == secret, "the test does not see what it looks for"


def test_counts_are_those_of_what_is_seen(green: Client, blue: Client) -> None:
    def count(client: Client, name: str) -> Any:
        return client("GET", f"{API}/nodes/{name}").json()["indicators"]

    assert (count(blue, "shared-feed"), count(green, "shared-feed")) == (3, 1)
    assert (count(blue, "blue-shared"), count(green, "blue-shared")) == (3, 1)
    assert count(green, "green-list") == 1
    facets = green("POST", f"{API}/indicators/facets", json={}).json()
    assert facets["claims"] == sum(facets["tlp"].values())
    assert "red" not in facets["tlp"]
    overlap = green("GET", f"{API}/feeds/overlap").json()
    assert PRIVATE not in overlap["sources"]
    assert overlap["common"][overlap["sources"].index("shared-feed")][overlap["sources"].index("shared-feed")] == 1


def test_what_is_shared_is_seen(green: Client) -> None:
    found = green("POST", f"{API}/indicators/search", json={"filters": {"text": SHARED}}).json()
    assert [(each["value"], each["claims"][0]["source"]) for each in found["indicators"]] == [(SHARED, "shared-feed")]
    why = green("GET", f"{API}/indicators/why?value={SHARED}").json()
    assert {held["output"] for held in why["outputs"]} == {"blue-shared", "green-list"}


def test_a_team_changes_its_own_alone(green: Client, operations: Operations) -> None:
    allowed = green("POST", f"{API}/indicators/allow", json={"value": SHARED, "reason": "ours"})
    assert allowed.status_code == 200
    assert [change["output"] for change in allowed.json()["outputs"]] == ["green-list"]
    assert "gus" in json.dumps(operations.call("audit", {"actor": "gus"}))
    entry = operations.call("audit", {"actor": "gus"})["entries"][0]
    assert (entry["team"], entry["address"]) == ("green", "192.0.2.9")
    text = operations.engine.configuration.path
    changed = two_teams_text(operations, "max_tlp: red}\n  blue-shared", "max_tlp: clear}\n  blue-shared")
    refused = green("POST", f"{API}/configuration/plan", json={"text": changed})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), text


def two_teams_text(operations: Operations, old: str, new: str) -> str:
    from api.asking import CONFIG

    text = CONFIG.replace("FOLDER", str(operations.engine.configuration.path.parent))
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("reader", {"me"}),
        ("viewer", {"me", "nodes"}),
        ("analyst", {"me", "nodes", "add", "poll"}),
        ("editor", {"me", "nodes", "add", "poll", "plan"}),
        ("admin", {"me", "nodes", "add", "poll", "plan", "users", "audit", "metrics"}),
    ],
)
def test_roles(app: FastAPI, operations: Operations, role: str, allowed: set[str]) -> None:
    client = Client(app, headers=key_of(operations, "somebody", role, "green"))
    same = operations.engine.configuration.text
    add = {"entries": [{"value": "1.2.3.4"}], "source": "green-hand"}
    tries = {
        "me": ("GET", "/me", None), "nodes": ("GET", "/nodes", None), "add": ("POST", "/indicators", add),
        "poll": ("POST", "/nodes/green-hand/poll", None), "plan": ("POST", "/configuration/plan", {"text": same}),
        "users": ("GET", "/users", None), "audit": ("GET", "/audit", None), "metrics": ("GET", "/metrics", None),
    }  # fmt: skip
    answers = {name: client(m, API + path, json=body).status_code for name, (m, path, body) in tries.items()}
    refused = {name for name, status in answers.items() if status == 403}
    assert refused == tries.keys() - allowed, answers
    assert 401 not in answers.values()


def test_a_key_may_be_cut_down_and_makes_none_that_may_more(app: FastAPI, operations: Operations) -> None:
    client = Client(app, headers=key_of(operations, "ann", "admin", "default", scopes=["read", "feeds"]))
    assert client("GET", f"{API}/nodes").status_code == 200
    assert client("GET", f"{API}/users").status_code == 403
    assert client("POST", f"{API}/keys", json={"scopes": ["accounts"]}).status_code == 403
    made = client("POST", f"{API}/keys", json={"label": "mine"}).json()
    assert made["scopes"] == ["feeds", "read"]
    assert made["key"] not in client("GET", f"{API}/keys").text


def test_nobody_gets_nothing(app: FastAPI) -> None:
    client = Client(app)
    for method, path, body in everything():
        answer = client(method, API + path, json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), path
    assert client("GET", "/metrics").status_code == 401
    assert client("GET", "/health").json()["problems"] == []


def test_users_have_tags_that_a_change_must_match(admin: Client) -> None:
    made = admin("POST", f"{API}/users", json={"name": "new", "role": "viewer"})
    assert made.status_code == 201
    tag = admin("GET", f"{API}/users/new").headers["etag"]
    changed = admin("PATCH", f"{API}/users/new", json={"role": "analyst"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["role"]) == (200, "analyst")
    late = admin("PATCH", f"{API}/users/new", json={"role": "admin"}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "changed")
    assert admin("GET", f"{API}/users/new").json()["role"] == "analyst"
    entry = admin("GET", f"{API}/audit?action=user%20change").json()["entries"][0]
    assert (entry["actor"], entry["detail"]["before"]["role"], entry["detail"]["after"]["role"]) == (
        "ann", "viewer", "analyst")  # fmt: skip


# For each write that heeds If-Match: something that it can be tried on, and a body.
WRITES: dict[tuple[str, str], tuple[dict[str, str], Any]] = {
    ("PATCH", "/users/{name}"): ({"name": "ann"}, {"role": "viewer"}),
    ("DELETE", "/users/{name}"): ({"name": "ann"}, None),
    ("PATCH", "/teams/{name}"): ({"name": "blue"}, {"title": "x"}),
    ("DELETE", "/teams/{name}"): ({"name": "blue"}, None),
    ("PUT", "/configuration/candidate"): ({}, {"text": "", "base": 0}),
    ("DELETE", "/configuration/candidate"): ({}, None),
    ("POST", "/configuration/candidate/commit"): ({}, {"message": "x", "revision": 0}),
    ("PUT", "/configuration/candidate/{section}/{name}"): (
        {"section": "sources", "name": "green-hand"}, {"settings": {"kind": "local"}},
    ),
    ("DELETE", "/configuration/candidate/nodes/{name}"): ({"name": "green-hand"}, None),
    ("POST", "/configuration/commit"): ({}, {"text": "", "message": "x", "base": 1}),
    ("POST", "/configuration/versions/{version}/revert"): ({"version": "1"}, {}),
    ("PUT", "/configuration/{section}/{name}"): (
        {"section": "sources", "name": "green-hand"}, {"base": 1, "settings": {"kind": "local"}},
    ),
    ("DELETE", "/configuration/nodes/{name}"): ({"name": "green-hand"}, None),
    ("PATCH", "/feeds/{name}"): ({"name": "shared-feed"}, {"settings": {}}),
    ("DELETE", "/feeds/{name}"): ({"name": "shared-feed"}, None),
    ("PATCH", "/warning-lists/{name}"): ({"name": "dax30"}, {"enabled": True}),
    ("DELETE", "/warning-lists/{name}"): ({"name": "dax30"}, None),
}  # fmt: skip
# These ask for a Defender output, which this stage has not.
ELSEWHERE = {("PUT", "/deliveries/{name}/override"), ("DELETE", "/deliveries/{name}/override")}


def test_every_write_that_can_collide_heeds_if_match(admin: Client, operations: Operations) -> None:
    operations.engine.configuration.path.write_text(two_teams_text(operations, "", ""))
    document = admin("GET", f"{API}/openapi.json").json()
    heeding = {
        (way.upper(), path)
        for path, ways in document["paths"].items()
        for way, described in ways.items()
        if "412" in described["responses"]
    }
    assert heeding == WRITES.keys() | ELSEWHERE
    for (method, path), (names, body) in WRITES.items():
        query = "?base=1&seen=x" if method == "DELETE" else ""
        stale = admin(method, API + path.format(**names) + query, json=body, headers={"If-Match": '"stale"'})
        assert (stale.status_code, stale.json().get("code")) == (412, "changed"), (method, path, stale.text)
        assert stale.headers["content-type"] == "application/problem+json"


def test_pages_follow_each_other_without_gap(blue: Client) -> None:
    found, cursor = [], None
    while True:
        body = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = blue("POST", f"{API}/indicators/search", json={**body, "filters": {"sources": [
            "private-feed", "shared-feed"]}}).json()  # fmt: skip
        found += [each["value"] for each in page["indicators"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == sorted({RED, "private.example.org", SHARED, "red-only.example.org"})
    for wrong in ("!", "bnVsbA==", "WzFd", "eyJhIjoxfQ=="):
        assert blue("POST", f"{API}/indicators/search", json={"cursor": wrong}).status_code == 400


def test_a_key_has_its_rate(app: FastAPI, operations: Operations) -> None:
    client = Client(app, headers=key_of(operations, "fast", "viewer", "green", rate=3))
    answers = [client("GET", f"{API}/me") for _ in range(5)]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_the_specification_is_served_without_a_sign_in(app: FastAPI) -> None:
    document = Client(app)("GET", f"{API}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, ways in document["paths"].items():
        for way, described in ways.items():
            assert described["summary"], (path, way)
            assert described["description"], (path, way)


def test_the_api_and_the_command_line_say_the_same(admin: Client, operations: Operations) -> None:
    for path, name in (("/status", "status"), ("/holds", "holds"), ("/deliveries", "deliveries")):
        over_http, directly = admin("GET", API + path).json(), operations.call(name, {})
        for each in (over_http, directly):
            each.pop("at", None)
        assert over_http == directly


def test_the_library_is_found_looked_at_and_added_to_ones_own_team(green: Client, operations: Operations) -> None:
    found = green("GET", f"{API}/library?text=spamhaus+drop&status=live").json()["entries"]
    assert "spamhaus-drop" in [entry["name"] for entry in found]
    operations.engine.configuration.path.write_text(two_teams_text(operations, "", ""))
    add = {"node": "drop", "settings": {"enabled": False, "confidence": 71}, "message": "asked for by the desk"}
    assert green("POST", f"{API}/library/spamhaus-drop/add", json=add).status_code == 200
    made = operations.engine.configuration.sources["drop"].settings
    assert (made.team, made.confidence) == ("green", 71)
    assert green("POST", f"{API}/library/spamhaus-drop/add", json=add).status_code == 400
    assert green("GET", f"{API}/library/spamhaus-drop").json()["in_use"] == ["drop"]
    assert green("GET", f"{API}/library/no-such").json()["status"] == 422


def test_a_feed_is_tried_without_being_added(green: Client, operations: Operations) -> None:
    before = operations.call("configuration", {})["version"]
    found = green("POST", f"{API}/feeds/try", json={"body": "ioc,type\nevil.com,domain\n"}).json()
    assert found["settings"]["columns"] == {"value": "ioc", "type": "type"}
    refused = green("POST", f"{API}/feeds/try", json={"url": "http://127.0.0.1:9/x"})
    assert refused.status_code == 400
    assert "127.0.0.1" in refused.json()["what"] + refused.json()["where"]
    assert operations.call("configuration", {})["version"] == before


def test_a_feed_is_added_changed_in_part_and_removed(green: Client, operations: Operations, tmp_path: Path) -> None:
    operations.engine.configuration.path.write_text(two_teams_text(operations, "", ""))
    new = {"kind": "lines", "url": "https://feeds.example.org/x.txt", "bearer": "t0ken-of-the-feed"}
    assert green("POST", f"{API}/feeds", json={"name": "x", "settings": new, "into": ["green-list"]}).status_code == 201
    shown = green("GET", f"{API}/feeds/x")
    assert "t0ken-of-the-feed" not in shown.text + operations.engine.configuration.path.read_text()
    tag = {"If-Match": shown.headers["etag"]}
    assert green("PATCH", f"{API}/feeds/x", json={"settings": {"enabled": False}}, headers=tag).status_code == 200
    stale = green("PATCH", f"{API}/feeds/x", json={"settings": {"enabled": True}}, headers=tag)
    assert stale.status_code == 412
    (row,) = [each for each in green("GET", f"{API}/feeds").json()["feeds"] if each["name"] == "x"]
    assert (row["enabled"], row["state"], row["into"], row["team"]) == (False, "disabled", ["green-list"], "green")
    assert green("GET", f"{API}/feeds/misp").json()["feeds"][0]["Feed"]["name"] == "x"
    assert green("PATCH", f"{API}/feeds/private-feed", json={"settings": {}}).status_code == 400
    assert green("DELETE", f"{API}/feeds/x?message=over").status_code == 200
    assert "x" not in operations.engine.configuration.sources
