"""MineMeld's API, asked as the scripts that people have ask it."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api.test_app import TOKEN, Client, asker
from tipline.api.app import create_app
from tipline.config.check import check_text
from tipline.engine.core import Engine
from tipline.engine.operations import Operations

PASSWORD = "a-long-password-of-a-test"
KEYS: dict[str, str] = {}  # of the users, each made anew for a test
CONFIG = """\
sources:
  wlist: {kind: local, tlp: clear}
  feed: {kind: lines, url: 'feed.txt', confidence: 80}
  theirs: {kind: local, team: other}
teams: {other: {}}
outputs:
  all: {kind: list, inputs: [wlist, feed]}
"""


@pytest.fixture(name="operations")
def _operations(tmp_path: Path) -> Iterator[Operations]:
    (tmp_path / "feed.txt").write_text("8.8.8.8\n")
    with (
        Engine(check_text(CONFIG, tmp_path / "tipline.yml").usable()) as engine,
        closing(Operations(engine)) as operations,
    ):
        yield operations


@pytest.fixture(name="client")
def _client(operations: Operations) -> Client:
    app = create_app(operations, TOKEN)
    accounts = app.state.identity.accounts
    for name, role in (("admin", "admin"), ("looker", "viewer"), ("analyst", "analyst")):
        accounts.add(name, role=role, team="default")
        KEYS[name] = accounts.make_key(name)["key"]
    return asker(app)


def basic(name: str = "admin", password: str = "") -> dict[str, str]:
    text = f"{name}:{password or KEYS[name]}"
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def append(client: Client, body: Any, name: str = "admin", file: str = "wlist_indicators") -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    address = f"/config/data/{file}/append?h=wlist&t=localdb"
    return client.post(address, content=text, headers={"Content-Type": "application/json", **basic(name)})


def listed(client: Client) -> dict[str, Any]:
    answer = client.get("/config/data/wlist_indicators?t=localdb", headers=basic())
    assert answer.status_code == 200, answer.text
    return {row["indicator"]: row for row in answer.json()["result"]}


def test_an_indicator_is_added_and_taken_back(client: Client, operations: Operations) -> None:
    record = {"indicator": "8.8.4.4", "type": "IPv4", "comment": "seen", "share_level": "green", "ttl": 3600}
    answer = append(client, record, "analyst")
    assert (answer.status_code, answer.json()) == (200, {"result": "ok"})
    found = listed(client)["8.8.4.4"]
    assert (found["type"], found["share_level"], found["comment"]) == ("IPv4", "green", "seen")
    assert found["_expiration_ts"] - found["_update_ts"] == 3_600_000
    assert append(client, [{"indicator": "bad.example.com", "type": "domain", "ttl": "disabled"}]).status_code == 200
    assert listed(client)["bad.example.com"]["_expiration_ts"] == "disabled"
    assert append(client, {"indicator": "8.8.4.4", "type": "IPv4", "ttl": -1}).status_code == 200
    assert set(listed(client)) == {"bad.example.com"}
    assert client.get("/feeds/all").text == "bad.example.com\n"


def test_a_password_opens_as_a_key_does(client: Client, operations: Operations) -> None:
    operations.accounts.add("script", role="analyst", team="default", password=PASSWORD)
    assert client.get("/status/info", headers=basic("script", PASSWORD)).status_code == 200
    assert client.get("/status/info", headers=basic("script", "wrong")).status_code == 401


def test_blocks_of_text_are_taken(client: Client) -> None:
    text = "# comment\nURL\nhttp://bad.example.com/x\ncomment\nfrom a script\n\nIPv4\n8.8.4.0-8.8.4.255\n"
    assert append(client, text).status_code == 200
    found = listed(client)
    assert found["http://bad.example.com/x"]["comment"] == "from a script"
    assert len(found) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([1], "indicator and type"),
        ({"indicator": "8.8.4.4"}, "indicator and type"),
        ({"indicator": "10.0.0.1", "type": "IPv4"}, "not-routable"),
        ({"indicator": "8.8.4.4", "type": "IPv4", "ttl": "x"}, "ttl"),
        ({"indicator": "8.8.4.4", "type": "IPv4", "share_level": "blue"}, "share_level"),
        ("IPv4\n8.8.4.4\nodd\n", "odd number"),
    ],
)
def test_what_cannot_be_taken_is_told(client: Client, body: Any, words: str) -> None:
    answer = append(client, body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_only_those_who_may(client: Client) -> None:
    record = {"indicator": "8.8.4.4", "type": "IPv4"}
    assert append(client, record, "looker").status_code == 403
    refused = client.post("/config/data/wlist_indicators/append?t=localdb", content=json.dumps(record))
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Basic")
    assert append(client, record, "analyst", "theirs_indicators").status_code == 400
    for path in ("/status/minemeld", "/status/info", "/status/system", "/metrics/minemeld"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=basic("admin", "wrong")).status_code == 401


@pytest.mark.parametrize("file", ["feed_indicators", "nothing", "..%2F..%2Ftipline.yml", "all"])
def test_other_files_are_not_there(client: Client, file: str) -> None:
    assert client.get(f"/config/data/{file}?t=localdb", headers=basic()).status_code in {400, 404}


def test_the_status_of_nodes(client: Client, operations: Operations) -> None:
    operations.engine.poll("feed")
    found = {node["name"]: node for node in client.get("/status/minemeld", headers=basic()).json()["result"]}
    feed = found["feed"]
    assert (feed["length"], feed["state"], feed["sub_state"], feed["inputs"]) == (1, 5, "SUCCESS", [])
    assert feed["last_run"] > 1_600_000_000_000
    assert (found["all"]["inputs"], found["all"]["output"]) == (["wlist", "feed"], False)
    assert "theirs" not in {
        node["name"] for node in client.get("/status/minemeld", headers=basic("looker")).json()["result"]
    }
    assert (feed["class"], found["wlist"]["class"]) == ("minemeld.ft.http.HttpFT", "minemeld.ft.localdb.Miner")
    assert "sub_state" not in found["all"]
    assert "tipline" in client.get("/status/info", headers=basic()).json()["result"]["version"]
    system = client.get("/status/system", headers=basic()).json()["result"]
    assert all(0 <= system[name] <= 100 for name in ("disk", "memory", "swap"))
    assert system["memory"] > 0


def test_a_node_is_run_now(client: Client, operations: Operations) -> None:
    for method in ("GET", "POST"):
        assert client.request(method, "/status/feed/hup", headers=basic("analyst")).json() == {"result": "ok"}
    assert "feed" in operations.scheduler.polling
    assert client.get("/status/nothing/hup", headers=basic()).status_code == 404
    assert client.get("/status/all/hup", headers=basic()).json() == {"result": "ok"}
    assert client.get("/status/feed/hup", headers=basic("looker")).status_code == 403


def test_access_is_told(client: Client) -> None:
    assert client.get("/aaa/feeds", headers=basic()).json()["result"] == {
        "enabled": False,
        "feeds": {"all": {"tags": ["anonymous"]}},
    }
    current = client.get("/aaa/users/current", headers=basic("looker")).json()["result"]
    assert current == {"id": "looker", "read_write": False}


def test_the_local_list_script_replaces_a_file(client: Client) -> None:
    """As scripts that keep a YAML list in step do it: the whole list by PUT, the node's name in h."""
    assert append(client, {"indicator": "8.8.4.4", "type": "IPv4"}, "analyst").status_code == 200
    body: list[Any] = [{"indicator": "9.9.9.9", "share_level": "amber", "comment": "dns"}, "bad.example.com"]

    def put(what: Any, kind: str = "yaml", name: str = "analyst") -> Any:
        address = f"/config/data/wlist_indicators?t={kind}&h=wlist"
        return client.request("PUT", address, content=json.dumps(what), headers=basic(name))

    answer = put(body)
    assert (answer.status_code, answer.json()) == (200, {"result": "ok"})
    found = listed(client)
    assert set(found) == {"9.9.9.9", "bad.example.com"}
    assert (found["9.9.9.9"]["share_level"], found["9.9.9.9"]["comment"]) == ("amber", "dns")
    assert put(body, name="admin").status_code == 200
    assert len(client.get("/config/data/wlist_indicators", headers=basic()).json()["result"]) == 2
    refused = put([*body, "1.1.1.1", "10.0.0.1"])
    assert refused.status_code == 400
    assert "'10.0.0.1' was refused: not-routable; nothing" in refused.json()["error"]["message"]
    assert set(listed(client)) == {"9.9.9.9", "bad.example.com"}
    assert put(["8.8.8.8"], "localdb").status_code == 400
    assert put([{"indicator": "8.8.8.8", "type": "IPv4"}], "localdb").status_code == 200
    assert set(listed(client)) == {"8.8.8.8"}
    assert put([], name="looker").status_code == 403
    assert put([], "pkey").status_code == 400
    assert put([]).status_code == 200
    assert listed(client) == {}


def test_the_whole_of_another_teams_source_is_not_replaced(client: Client) -> None:
    answer = client.request("PUT", "/config/data/theirs_indicators", content="[]", headers=basic("analyst"))
    assert answer.status_code == 400
    large = client.post("/config/data/wlist_indicators/append", content=b"#" * ((8 << 20) + 1), headers=basic())
    assert large.status_code == 413


def test_h_names_a_source_to_poll(client: Client, operations: Operations) -> None:
    for node in ("nothing", "all", "theirs", "feed"):
        address = f"/config/data/wlist_indicators/append?h={node}&t=localdb"
        content = json.dumps({"indicator": "8.8.4.4", "type": "IPv4"})
        assert client.post(address, content=content, headers=basic("analyst")).status_code == 200
        assert ("feed" in operations.scheduler.polling) == (node == "feed")
        assert "theirs" not in operations.scheduler.polling


def result(client: Client, path: str, name: str = "admin") -> Any:
    answer = client.get(path, headers=basic(name))
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_prototypes_are_listed_and_shown(client: Client) -> None:
    """As the web UI and scripts that clone prototypes ask."""
    libraries = result(client, "/prototype", "looker")
    stock = libraries["dshield"]["prototypes"]["block"]
    assert stock == libraries["library"]["prototypes"]["dshield-block"]
    assert set(stock) == {
        "author", "development_status", "node_type", "indicator_types", "tags", "description", "class", "config"
    }  # fmt: skip
    assert (stock["class"], stock["node_type"]) == ("tipline.sources.lines", "miner")
    assert libraries["outputs"]["prototypes"]["list"]["node_type"] == "output"
    shown = result(client, "/prototype/dshield.block")
    assert (shown["class"], shown["developmentStatus"], shown["nodeType"]) == (stock["class"], "STABLE", "miner")
    assert "url: https://feeds.dshield.org/block.txt" in shown["config"]
    assert "ShareLevelGreen" in shown["tags"]
    for name in ("dshield.nothing", "nothing", "..%2Fetc.passwd"):
        assert client.get(f"/prototype/{name}", headers=basic()).status_code == 404
    for method in ("POST", "DELETE"):
        answer = client.request(method, "/prototype/minemeldlocal.mine", content="{}", headers=basic())
        assert answer.status_code == 400
        assert "read only" in answer.json()["error"]["message"]


def test_metrics_come_as_series(client: Client, operations: Operations, tmp_path: Path) -> None:
    """As collectors ask every few minutes: ?cf=MAX&dt=86400&r=1800."""
    operations.engine.poll("feed")
    (tmp_path / "feed.txt").write_text("8.8.8.8\n8.8.4.4\n9.9.9.9\n")
    operations.engine.poll("feed")
    found = {each["metric"]: each["values"] for each in result(client, "/metrics/feed?cf=MAX&dt=86400&r=1800")}
    assert set(found) == {"length", "added", "removed", "aged_out"}
    assert len(found["length"]) == 48
    assert found["length"][-1][1] == sum(value for _, value in found["added"]) == 3
    assert {after[0] - before[0] for before, after in itertools.pairwise(found["added"])} == {1800}
    assert result(client, "/metrics/feed/length?dt=3600&r=600")[-1][1] == 3
    assert [len(result(client, f"/metrics/feed/length?dt={dt}&r={r}")) for dt, r in ((600, 60), (0, 0))] == [10, 1]
    assert len(result(client, "/metrics/feed/length?dt=999999999&r=0")) <= 5000
    assert {each["metric"] for each in result(client, "/metrics/minemeld?t=minemeld_delta")} == set(found) - {"length"}
    assert result(client, "/metrics/minemeld/miners")[0]["values"][-1][1] == 3
    names = result(client, "/metrics/", "looker")
    assert "feed.length" in names
    assert not [name for name in names if name.startswith("theirs")]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("feed?cf=SUM", 400, "Unknown function"),
        ("feed?dt=-1", 400, "Invalid delta"),
        ("feed?dt=9999999999", 400, "Invalid delta"),
        ("feed?r=x", 400, "Invalid resolution"),
        ("nothing", 404, "Unknown metric"),
        ("minemeld/nothing", 404, "Unknown metric"),
        ("feed/nothing", 404, "Unknown metric"),
        ("feed/added", 400, "Unknown metric type"),
    ],
)
def test_wrong_metrics_are_refused_in_its_words(client: Client, path: str, status: int, words: str) -> None:
    answer = client.get(f"/metrics/{path}", headers=basic())
    assert (answer.status_code, answer.json()) == (status, {"error": {"message": words}})
    assert client.get("/metrics/theirs", headers=basic("looker")).status_code == 404


def ask(client: Client, method: str, path: str, body: Any = None, name: str = "admin") -> Any:
    content = json.dumps(body) if body is not None else None
    return client.request(method, path, content=content, headers={"Content-Type": "application/json", **basic(name)})


def test_users_of_feeds_are_managed(client: Client, operations: Operations) -> None:
    """As scripts that hand out feed accounts do it."""
    address = "/aaa/users/feeds/fw1"
    assert ask(client, "PUT", address, {"password": PASSWORD}).json() == {"result": "ok"}
    assert ask(client, "POST", address + "/attributes", {"tags": ["edge"], "comment": "rack 4"}).status_code == 200
    assert result(client, "/aaa/users/feeds")["users"] == {"fw1": {"tags": ["edge"], "comment": "rack 4"}}
    assert set(result(client, "/aaa/users/api")["users"]) == {"admin", "looker", "analyst"}
    assert result(client, "/aaa/tags") == ["edge"]
    assert operations.accounts.user("fw1")["role"] == "reader"
    assert ask(client, "PUT", "/aaa/users/api/fw1", {"password": PASSWORD}).status_code == 404
    assert ask(client, "PUT", "/aaa/users/api/new", {"password": PASSWORD}).status_code == 200
    assert operations.accounts.user("new")["role"] == "viewer"
    assert ask(client, "PUT", address, {"password": PASSWORD + " changed"}).status_code == 200
    assert client.get("/aaa/users/current", headers=basic("fw1", PASSWORD)).status_code == 401
    assert ask(client, "DELETE", address).status_code == 200
    assert ask(client, "DELETE", address).status_code == 200
    assert result(client, "/aaa/users/feeds") == {"enabled": False, "users": {}}


@pytest.mark.parametrize(
    ("method", "path", "body", "name", "status"),
    [
        ("GET", "/aaa/users/feeds", None, "analyst", 403),
        ("PUT", "/aaa/users/feeds/x", {"password": PASSWORD}, "analyst", 403),
        ("PUT", "/aaa/users/feeds/x", {"password": "short"}, "admin", 400),
        ("PUT", "/aaa/users/feeds/x", {"password": 1}, "admin", 400),
        ("PUT", "/aaa/users/feeds/x", [], "admin", 400),
        ("PUT", "/aaa/users/nothing/x", {"password": PASSWORD}, "admin", 400),
        ("POST", "/aaa/users/feeds/x/attributes", {"tags": []}, "admin", 400),
        ("POST", "/aaa/users/api/looker/attributes", {"tags": 5}, "admin", 400),
        ("DELETE", "/aaa/users/api/admin", None, "admin", 400),
        ("PUT", "/aaa/feeds/all/attributes", {"tags": ["edge"]}, "admin", 400),
        ("POST", "/aaa/feeds/all/attributes", {"tags": ["edge"]}, "looker", 403),
        ("DELETE", "/aaa/feeds/all", None, "admin", 400),
    ],
)
def test_what_access_control_refuses(client: Client, method: str, path: str, body: Any, name: str, status: int) -> None:
    answer = ask(client, method, path, body, name)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert isinstance(error, str)  # the text alone, as MineMeld's access control answers
    assert error
    assert PASSWORD not in answer.text


def test_too_many_wrong_passwords_are_put_off(client: Client) -> None:
    answers = [client.get("/status/info", headers=basic("admin", f"wrong {n}")) for n in range(7)]
    assert [answer.status_code for answer in answers[-2:]] == [429, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
