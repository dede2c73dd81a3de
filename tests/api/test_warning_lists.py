"""Warning lists over REST: everybody looks, admins change; another team's red is in no count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fastapi import FastAPI

from api.asking import RED, SHARED, Client, two_teams
from tipline.api.app import create_app
from tipline.engine.core import Engine
from tipline.engine.operations import Operations

API = "/api/v1/warning-lists"


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    found = {"name": "n", "description": "d", "type": "cidr", "list": [f"{RED}/32", "198.51.101.0/24"]}
    (tmp_path / "own.json").write_text(json.dumps(found))
    configuration = two_teams(tmp_path)
    (tmp_path / "tipline.yml").write_text(configuration.text)
    with Engine(configuration) as engine, closing(Operations(engine)) as made:
        for source in ("private-feed", "shared-feed"):
            made.call("poll", {"source": source})
        yield made


@pytest.fixture
def clients(operations: Operations) -> dict[str, Client]:
    app: FastAPI = create_app(operations, "t0ken")
    people = {"ann": ("admin", "default"), "bea": ("editor", "blue"), "gus": ("viewer", "green")}
    found = {}
    for name, (role, team) in people.items():
        operations.call("user_add", {"name": name, "role": role, "team": team})
        key = operations.call("key_add", {"user": name})["key"]
        found[name] = Client(app, headers={"Authorization": f"Bearer {key}"})
    return found


def test_a_list_is_added_looked_at_changed_fetched_and_removed(clients: dict[str, Client], tmp_path: Path) -> None:
    ann = clients["ann"]
    made = ann("POST", API, json={"name": "own", "url": str(tmp_path / "own.json"), "category": "known"})
    assert (made.status_code, made.json()["list"]["entries"]) == (201, 2)
    shown = ann("GET", f"{API}/own")
    assert shown.json()["sources"][0] == {"source": "shared-feed", "indicators": 2}
    stale = {"If-Match": '"not-this"'}
    assert ann("PATCH", f"{API}/own", json={"action": "drop"}, headers=stale).status_code == 412
    same = {"If-Match": shown.headers["etag"]}
    assert ann("PATCH", f"{API}/own", json={"action": "drop"}, headers=same).json()["list"]["action"] == "drop"
    assert ann("GET", f"{API}/own/entries", params={"text": "101"}).json()["entries"] == ["198.51.101.0/24"]
    assert ann("POST", f"{API}/own/refresh", json={}).json()["changed"] is False
    found = ann("POST", f"{API}/check", json={"values": ["198[.]51.101.9", "nothing.example"]}).json()["values"]
    assert [[each["list"] for each in value["lists"]] for value in found] == [["own"], []]
    assert ann("PATCH", API, json={"recommended": True}).json()["recommended"] is True
    assert ann("DELETE", f"{API}/own").json()["removed"] == "own"
    assert ann("GET", f"{API}/own").status_code == 400
    refused = ann("POST", API, json={"name": "far", "url": "http://127.0.0.1:9/list.json"})
    assert refused.status_code == 201
    assert refused.json()["message"]


def test_counts_are_of_what_a_team_sees_and_only_admins_change(clients: dict[str, Client], tmp_path: Path) -> None:
    clients["ann"]("POST", API, json={"name": "own", "url": str(tmp_path / "own.json")})
    seen = {name: client("GET", f"{API}/own").json() for name, client in clients.items()}
    assert {name: each["hits"] for name, each in seen.items()} == {"ann": 2, "bea": 2, "gus": 1}
    assert seen["gus"]["sources"] == [{"source": "shared-feed", "indicators": 1}]
    tagged = {"text": "", "tag": "warning-list:own"}
    found = clients["gus"]("GET", "/api/v1/indicators", params=tagged).json()["indicators"]
    assert [each["value"] for each in found] == [SHARED]
    for name in ("bea", "gus"):
        for method, path, body in (
            ("POST", API, {"name": "x", "url": "x"}), ("PATCH", API, {"recommended": True}),
            ("PATCH", f"{API}/own", {"enabled": False}), ("POST", f"{API}/own/refresh", {}),
            ("DELETE", f"{API}/own", None),
        ):  # fmt: skip
            assert clients[name](method, path, json=body).status_code == 403
