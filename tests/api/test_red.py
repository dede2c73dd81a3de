"""Two teams: what is red stays with its own at every address, in every dialect and page, and in what is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.asking import Client
from api.taxii import STIX_20, TAXII_20
from tipline.api.app import create_app
from tipline.config.check import check_text
from tipline.engine.core import Engine
from tipline.engine.mispfeed import HASHES, MANIFEST
from tipline.engine.operations import Operations
from tipline.outputs.render import SPECS
from tipline.store.lake import Lake

RED, HIDDEN = "203.0.114.66", "203.0.114.67"
SHARED, PRIVATE = "198.51.101.7", "private-hand"
SECRETS = {RED, HIDDEN, PRIVATE}
READER = {"blue": "0123456789abcdef-blue", "green": "0123456789abcdef-green"}
CONFIG = f"""\
teams: {{blue: {{}}, green: {{}}}}
readers:
  blue-siem: {{key: {READER["blue"]}, tags: [siem], team: blue}}
  green-siem: {{key: {READER["green"]}, tags: [siem], team: green}}
sources:
  private-hand: {{kind: local, team: blue, tlp: red}}
  shared-hand: {{kind: local, team: blue, tlp: green, distribution: server}}
  blue-push: {{kind: ingest, team: blue, tlp: red, expire: never, keys: {{probe: 0123456789abcdef-probe}}}}
  green-push: {{kind: ingest, team: green, tlp: green, expire: never, keys: {{probe: 0123456789abcdef-other}}}}
processors:
  merged: {{kind: aggregate, team: blue, distribution: server, inputs: [private-hand, shared-hand, blue-push]}}
outputs:
  blue-hub: {{kind: taxii, team: blue, inputs: merged, access: readers, tags: any, max_tlp: red}}
  open-hub: {{kind: taxii, team: blue, inputs: merged, access: readers, tags: any, max_tlp: amber}}
  green-hub: {{kind: taxii, team: green, inputs: [merged, green-push], access: readers, tags: any, max_tlp: red}}
  blue-misp: {{kind: misp-feed, team: blue, inputs: merged, access: readers, tags: any, max_tlp: red}}
  open-misp: {{kind: misp-feed, team: blue, inputs: merged, access: readers, tags: any, max_tlp: amber}}
  blue-list: {{kind: list, team: blue, distribution: server, inputs: merged, access: readers, tags: any, max_tlp: red}}
  green-list: {{kind: list, team: green, inputs: [merged, green-push], access: readers, tags: any, max_tlp: red}}
"""
PUBLISHED = "tags: any, max_tlp: red, publish_to: [{to: FOLDER/public, formats: [plain, json]}]}"
SPACE, BINDING = "http://taxii.mitre.org/messages/taxii_xml_binding-1.1", "urn:taxii.mitre.org:message:xml:1.1"
HUBS = ("blue/collections/blue-hub", "blue/collections/open-hub", "green/collections/green-hub")
TAXII_21 = {"Accept": "application/taxii+json;version=2.1"}


@dataclass
class Stage:
    """The server, and for each team those who ask: a reader with a key, and an analyst with every tag."""

    operations: Operations
    askers: dict[str, list[Client]]

    def said(self, team: str, method: str, path: str, **more: Any) -> list[httpx.Response]:
        """What a team's people are answered; never with an error of the server."""
        found = [client(method, path, **more) for client in self.askers[team]]
        assert all(answer.status_code < 500 for answer in found), (path, [answer.text for answer in found])
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Blue holds red indicators, in a source of its own and in one that green sees."""
    (tmp_path / "public").mkdir()
    lists = PUBLISHED.replace("FOLDER", str(tmp_path))
    text = "\n".join(
        line.replace("tags: any, max_tlp: red}", lists) if "kind: list" in line else line
        for line in CONFIG.splitlines()
    )
    with Engine(check_text(text, tmp_path / "tipline.yml").usable()) as engine, closing(Operations(engine)) as found:
        entries = {PRIVATE: [{"value": HIDDEN}], "shared-hand": [{"value": RED, "tlp": "red"}, {"value": SHARED}]}
        for source, added in entries.items():
            found.call("add", {"entries": added, "source": source, "team": "blue", "user": "bea"})
        app, askers = create_app(found, "t0ken"), {}
        for team in ("blue", "green"):
            found.call("user_add", {"name": team, "role": "analyst", "team": team, "tags": ["siem"]})
            keys = [found.call("key_add", {"user": team})["key"], READER[team]]
            askers[team] = [Client(app, headers={"Authorization": f"Bearer {key}"}) for key in keys]
        yield Stage(found, askers)


def taxii1(path: str, name: str, attributes: str = "") -> tuple[str, str, dict[str, Any]]:
    body = f'<{name} xmlns="{SPACE}" message_id="1" {attributes}/>'
    return "POST", path, {"content": body, "headers": {"x-taxii-content-type": BINDING}}


def looks(ids: list[str]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Each way to look at something, by what it belongs to."""
    hubs = [hub.rpartition("/")[2] for hub in HUBS]
    found = {
        "taxii1": [
            taxii1("/taxii-discovery-service", "Discovery_Request"),
            taxii1("/taxii-collection-management-service", "Collection_Information_Request"),
            *(taxii1("/taxii-poll-service", "Poll_Request", f'collection_name="{hub}"') for hub in hubs),
            *(
                taxii1(
                    "/taxii-poll-service",
                    "Poll_Fulfillment",
                    f'collection_name="{hub}" result_id="1-9-9" result_part_number="1"',
                )
                for hub in hubs
            ),
        ],
        "minemeld": [
            ("GET", path, {})
            for path in (
                *(f"/config/data/{name}{file}" for name in (PRIVATE, "shared-hand") for file in ("", "_indicators")),
                "/config/data/shared-hand?t=localdb", "/config/full", "/config/running", "/config/committed",
                "/status/config", "/config/info", "/config/node/0", "/config/node/1", "/supervisor",
                "/status/minemeld", "/metrics/",
                "/metrics/minemeld", "/metrics/minemeld/miners", f"/metrics/{PRIVATE}", "/metrics/shared-hand",
                "/metrics/shared-hand/added?t=minemeld_delta", "/aaa/feeds", "/aaa/tags", "/aaa/users/current",
            )
        ],
        "misp": [
            ("GET", f"/misp/{feed}/{file}", {}) for feed in ("blue-misp", "open-misp") for file in (MANIFEST, HASHES)
        ],
        "lists": [
            ("GET", f"/feeds/{name}?v={form}&t=any&h=1&f=indicator&f=sources&f=tags", {})
            for name in ("blue-list", "green-list") for form in SPECS
        ] + [("GET", "/feeds", {}), ("GET", "/metrics", {})],
        "pages": [("GET", f"/ui{path}", {"headers": {"Accept": "application/json"}}) for path in _pages()],
        "pages as HTML": [("GET", f"/ui{path}", {"headers": {"Accept": "text/html"}}) for path in _pages()],
    }  # fmt: skip
    for version, envelope, content in (("2.1", TAXII_21, TAXII_21), ("2.0", TAXII_20, STIX_20)):
        paths = ["/taxii2/", "/taxii2/blue/", "/taxii2/green/", "/taxii2/blue/collections/"]
        for hub in HUBS:
            inside = ["", "objects/", "manifest/", *(f"objects/{each}/" for each in ids)]
            paths += [f"/taxii2/{hub}/{part}" for part in [*inside, *(f"objects/{each}/versions/" for each in ids)]]
        found[f"taxii {version}"] = [
            ("GET", path, {"headers": content if "/objects/" in path else envelope}) for path in paths
        ]
    return found


def _pages() -> list[str]:
    """Every page that shows nodes or indicators, with each way to narrow it down."""
    nodes = (PRIVATE, "shared-hand", "merged", "blue-list", "green-list", "blue-hub")
    values = (RED, HIDDEN)
    return [
        "/overview", "/pipeline", "/feeds", "/feeds/overlap", "/deliveries", "/activity", "/administration/lists",
        *(f"/nodes/{name}" for name in nodes),
        "/indicators", "/indicators?text=203.0.114", "/indicators?tlp=red", f"/indicators?source={PRIVATE}",
        "/indicators/export?form=csv", "/indicators/export?form=json", "/indicators/export?text=203.0.114",
        *(f"/indicators/detail?type=ipv4&value={value}" for value in values),
        *(f"/indicators/related?type=ipv4&value={value}" for value in values),
        *(f"/indicators/lookup?values={value}" for value in values),
    ]  # fmt: skip


def test_red_leaves_by_no_way_but_its_own_teams(stage: Stage) -> None:
    ours = stage.said("blue", "GET", f"/taxii2/{HUBS[0]}/objects/", headers=TAXII_21)[0].json()["objects"]
    ids = [each["id"] for each in ours if RED in each.get("pattern", "") or HIDDEN in each.get("pattern", "")]
    assert len(ids) == 2
    for group, requests in looks(ids).items():
        seen: set[str] = set()
        for method, path, more in requests:
            theirs = " ".join(answer.text for answer in stage.said("green", method, path, **more))
            told = {word for word in {*SECRETS, *ids} if word in theirs and word not in path}
            assert not told, (group, method, path, theirs)
            seen |= {
                word
                for word in (RED, HIDDEN, PRIVATE, *ids)
                for each in stage.said("blue", method, path, **more)
                if word in each.text
            }
        # A MISP feed's manifest and hashes have no values; its events are asked for below.
        assert seen & {RED, HIDDEN} or group == "misp", f"{group}: the test does not see what it looks for"


def test_files_that_are_published_hold_what_their_list_may(stage: Stage, tmp_path: Path) -> None:
    stage.operations.scheduler.publisher.cycle()
    found = {
        path.name: path.read_text() for path in (tmp_path / "public").iterdir() if path.suffix in {".txt", ".json"}
    }
    assert {"blue-list.txt", "green-list.txt", "green-list.json"} <= set(found)
    assert RED in found["blue-list.txt"]
    assert SHARED in found["green-list.txt"]
    for name, text in found.items():
        if name.startswith("green"):
            assert not any(secret in text for secret in SECRETS), name


def test_as_much_is_read_for_who_sees_less(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same statements, whether or not a value is another team's red one: their number tells nothing."""
    counts: dict[str, list[int]] = {}
    green = stage.askers["green"][0]
    green("GET", "/api/v1/indicators/why?value=203.0.114.98")  # the first look of all reads the outputs' networks
    for value in (RED, "203.0.114.99"):
        for path in (f"/api/v1/indicators/why?value={value}", f"/api/v1/indicators?text={value}"):
            statements: list[str] = []
            with monkeypatch.context() as patch:
                _counted(patch, statements)
                assert green("GET", path).status_code == 200
            counts.setdefault(path.replace(value, ""), []).append(len(statements))
    for path, (red, unknown) in counts.items():
        assert red == unknown > 0, path


def _counted(patch: pytest.MonkeyPatch, statements: list[str]) -> None:
    """Note every statement that the lake is asked."""
    inner = Lake.connection

    class Counting:
        def __init__(self, con: Any) -> None:
            self._con = con

        def execute(self, text: str, *parameters: Any) -> Any:
            statements.append(text)
            return self._con.execute(text, *parameters)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._con, name)

    patch.setattr(Lake, "connection", lambda lake: Counting(inner(lake)))


def test_events_of_a_misp_feed_are_those_of_its_readers(stage: Stage) -> None:
    found: dict[tuple[str, str], str] = {}
    for feed in ("blue-misp", "open-misp"):
        manifest = stage.said("blue", "GET", f"/misp/{feed}/{MANIFEST}")[0].json()
        for event in manifest:
            for team in stage.askers:
                texts = [each.text for each in stage.said(team, "GET", f"/misp/{feed}/{event}.json")]
                found[feed, team] = found.get((feed, team), "") + " ".join(texts)
    assert RED in found["blue-misp", "blue"]
    assert HIDDEN in found["blue-misp", "blue"]
    assert SHARED in found["open-misp", "green"]
    for (feed, team), text in found.items():
        if (feed, team) != ("blue-misp", "blue"):
            assert not any(secret in text for secret in SECRETS), (feed, team)


def test_counts_are_of_what_is_seen(stage: Stage) -> None:
    """Neither how many there are nor how many came and went tells of what is red."""
    green = stage.askers["green"][0]
    (state,) = (each for each in green("GET", "/status/minemeld").json()["result"] if each["name"] == "shared-hand")
    assert (state["length"], state["statistics"]) == (1, {"added": 0, "removed": 0, "aged_out": 0})
    (merged,) = (each for each in green("GET", "/status/minemeld").json()["result"] if each["name"] == "merged")
    assert merged["inputs"] == ["shared-hand"]

    def series(team: str) -> dict[str, int]:
        found = stage.askers[team][0]("GET", "/metrics/blue-list").json()["result"]
        return {each["metric"]: max(value for _, value in each["values"]) for each in found}

    assert series("blue")["added"] > 0
    assert series("green")["added"] == 0


def test_the_answer_to_a_push_tells_nothing_of_other_teams(stage: Stage) -> None:
    """Whether the other team has an indicator makes no difference to the account of a push of the same."""
    (probe, _), blue = stage.askers["green"], stage.askers["blue"][0]
    accounts = []
    for value in (RED, "203.0.114.99"):
        more = {"content": f"{value}\n", "headers": {"Content-Type": "text/plain", "Prefer": "wait=0"}}
        submission = probe("POST", "/api/v1/ingest/green-push", **more).json()["submission"]
        stage.operations.engine.poll("green-push")
        accounts.append(probe("GET", f"/api/v1/ingest/green-push/{submission}").json())
        assert blue("GET", f"/api/v1/ingest/green-push/{submission}").status_code == 401
        assert probe("POST", "/api/v1/ingest/blue-push", **more).status_code == 401
    for account in accounts:
        account.pop("submission")
    assert accounts[0] == accounts[1]
    assert accounts[0]["accepted"] == 1
