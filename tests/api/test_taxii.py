"""TAXII 2.1: what each address answers, filters, pages, keys and errors."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.taxii import KEY, STIX_20, TAXII_20, V21, Lab, collection, domains, lab, names
from tipline.store.schema import objects_table

MEDIA = "application/taxii+json;version=2.1"


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Collections that stay as they are: host-1 and -2 came first, -3 to -5 later, and then -2 left."""
    outputs = [
        collection("open", title="Open", description="For all"),
        collection("shut", access="key", keys=[KEY]),
        collection("other", team="blue", inputs="feed", where="confidence > 99"),
    ]
    with lab(tmp_path_factory.mktemp("taxii"), *outputs) as made:
        made.publish(domains(1, 2))
        made.publish(domains(1, 2, 3, 4, 5))
        made.publish(domains(1, 3, 4, 5))
        yield made


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Lab]:
    """A collection that a test may change."""
    with lab(tmp_path, collection("open")) as made:
        yield made


def objects(found: Lab, **query: Any) -> list[dict[str, Any]]:
    answer = found.get(found.address("open", "objects"), **query)
    assert answer.status_code == 200
    listed: list[dict[str, Any]] = answer.json().get("objects", [])
    return listed


def test_discovery_leads_to_roots_and_collections(still: Lab) -> None:
    found = still.get(f"{still.url}/taxii2/")
    assert found.headers["content-type"] == MEDIA
    assert found.json()["default"] == "/taxii2/api/"
    assert found.json()["api_roots"] == ["/taxii2/blue/", "/taxii2/api/"]
    root = still.get(f"{still.url}/taxii2/api/").json()
    assert root["versions"] == [MEDIA]
    listed = still.get(f"{still.url}/taxii2/api/collections/").json()["collections"]
    assert listed == [
        {
            "id": still.id("open"),
            "title": "Open",
            "description": "For all",
            "alias": "open",
            "can_read": True,
            "can_write": False,
            "media_types": ["application/stix+json;version=2.1"],
        }
    ]
    assert still.get(still.address("open")).json() == listed[0]
    assert still.get(f"{still.url}/taxii2/api/collections/open").json() == listed[0]
    blue = still.get(f"{still.url}/taxii2/blue/collections/").json()["collections"]
    assert [each["alias"] for each in blue] == ["other"]


def test_a_collection_is_in_the_root_of_its_team_only(still: Lab) -> None:
    assert still.get(f"{still.url}/taxii2/blue/collections/{still.id('open')}/").status_code == 404
    assert still.get(f"{still.url}/taxii2/nobody/collections/").status_code == 404
    assert still.get(f"{still.url}/taxii2/nobody/").status_code == 404


def test_objects_come_in_the_order_of_their_last_change(still: Lab) -> None:
    answer = still.get(still.address("open", "objects"))
    found = answer.json()["objects"]
    assert [each["type"] for each in found[:2]] == ["identity", "marking-definition"]
    hosts = [f"host-{number}.example.com" for number in (1, 3, 4, 5, 2)]
    assert names(found)[0] == hosts[0]
    assert sorted(names(found)[1:4]) == hosts[1:4]
    assert names(found)[4] == hosts[4]
    assert answer.json()["more"] is False
    assert "next" not in answer.json()
    assert answer.headers["x-taxii-date-added-first"] == "2026-01-01T00:00:00.000Z"
    assert answer.headers["x-taxii-date-added-last"] == "2026-01-01T00:03:00.000Z"
    one = found[2]
    assert one["pattern"] == "[domain-name:value = 'host-1.example.com']"
    assert one["created"] == one["modified"] == one["valid_from"] == "2026-01-01T00:01:00.000Z"
    assert one["created_by_ref"] == found[0]["id"]
    assert one["object_marking_refs"] == [found[1]["id"]]
    assert found[0]["name"] == "lab"


def test_what_left_is_revoked_with_a_newer_version(still: Lab) -> None:
    gone = objects(still)[-1]
    assert (gone["name"], gone["revoked"]) == ("host-2.example.com", True)
    assert gone["created"] == "2026-01-01T00:01:00.000Z"
    assert gone["modified"] == "2026-01-01T00:03:00.000Z"


def test_filters(still: Lab) -> None:
    everything = objects(still)
    assert names(objects(still, added_after="2026-01-01T00:02:00.000Z")) == ["host-2.example.com"]
    assert len(names(objects(still, added_after="2026-01-01T01:01:00+01:00"))) == 4
    assert objects(still, added_after="2026-01-01T00:03:00Z") == []
    assert [each["type"] for each in objects(still, match_type="identity")] == ["identity"]
    assert len(objects(still, match_type="indicator,identity")) == 6
    assert objects(still, match_type="malware") == []
    ids = [everything[0]["id"], everything[3]["id"]]
    assert [each["id"] for each in objects(still, match_id=",".join(ids))] == ids
    assert objects(still, match_id="indicator--nonsense") == []
    assert objects(still, match_version="2026-01-01T00:03:00.000Z") == everything[-1:]
    assert objects(still, match_version="last") == objects(still, match_version="all") == everything
    assert objects(still, match_spec_version="2.1") == everything
    assert objects(still, match_spec_version="2.0") == []


def test_a_moment_to_the_millisecond_is_enough(live: Lab) -> None:
    live.time.forward(microseconds=123_456)
    live.publish(domains(1))
    answer = live.get(live.address("open", "objects"), match_type="indicator")
    last = answer.headers["x-taxii-date-added-last"]
    assert last == "2026-01-01T00:01:00.123Z"
    assert objects(live, added_after=last) == []
    assert objects(live, added_after=last.replace("123Z", "123456Z")) == []
    assert len(objects(live, added_after=last.replace("123Z", "122999Z"))) == 1


def test_pages_follow_each_other(still: Lab) -> None:
    address, found, query = still.address("open", "objects"), [], {}
    for _ in range(4):
        answer = still.get(address, limit=2, **query).json()
        assert len(answer["objects"]) <= 2
        found += answer["objects"]
        if not answer["more"]:
            break
        query = {"next": answer["next"]}
    assert found == objects(still)


def test_a_position_that_was_not_given_is_refused(still: Lab) -> None:
    address = still.address("open", "objects")
    text = still.get(address, limit=3).json()["next"]
    assert still.get(address, next=text).status_code == 200
    other = text[:-1] + ("A" if text[-1] != "A" else "B")
    swapped = base64.urlsafe_b64encode(b"\0" * 9 + b"1.4").decode()
    for tampered in (other, text + "A", text[1:], "x", "é", "1.4", swapped):
        answer = still.get(address, next=tampered)
        assert (answer.status_code, answer.headers["content-type"]) == (400, MEDIA)
    # It belongs to its collection and its filters.
    assert still.get(address, next=text, match_type="indicator").status_code == 400
    shut = still.get(still.address("shut", "objects"), headers={**V21, "authorization": f"Bearer {KEY}"}, next=text)
    assert shut.status_code == 400


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"added_after": "yesterday"},
              {"added_after": "2026-01-01T00:00:00"}, {"match_version": "newest"}]
)  # fmt: skip
def test_what_cannot_be_asked_for_is_said(still: Lab, query: dict[str, str]) -> None:
    answer = still.get(still.address("open", "objects"), **query)
    assert answer.status_code == 400
    error = answer.json()
    assert (error["title"], error["http_status"]) == ("Bad Request", "400")
    assert error["description"]


def test_manifest_and_versions(still: Lab) -> None:
    everything = objects(still)
    manifest = still.get(still.address("open", "manifest")).json()["objects"]
    assert [each["id"] for each in manifest] == [each["id"] for each in everything]
    assert manifest[-1] == {
        "id": everything[-1]["id"],
        "date_added": "2026-01-01T00:03:00.000Z",
        "version": "2026-01-01T00:03:00.000Z",
        "media_type": "application/stix+json;version=2.1",
    }
    page = still.get(still.address("open", "manifest"), limit=2).json()
    assert still.get(still.address("open", "manifest"), next=page["next"]).json()["objects"] == manifest[2:]
    for content in (everything[0], everything[1], everything[-1]):
        one = still.get(still.address("open", "objects", content["id"]))
        assert one.json()["objects"] == [content]
        versions = still.get(still.address("open", "objects", content["id"], "versions")).json()
        assert versions == {"more": False, "versions": [content.get("modified", content["created"])]}
    unknown = "indicator--00000000-0000-4000-8000-000000000000"
    assert still.get(still.address("open", "objects", unknown)).status_code == 404
    assert still.get(still.address("open", "objects", unknown, "versions")).status_code == 404


@pytest.mark.parametrize(
    "accepted",
    [
        MEDIA,
        "application/taxii+json; version=2.1",
        "application/taxii+json",
        "*/*",
        "text/html, application/*;q=0.5",
    ],
)
def test_media_types_that_are_taken(still: Lab, accepted: str) -> None:
    answer = still.get(still.address("open", "objects"), headers={"accept": accepted})
    assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA)


@pytest.mark.parametrize(
    "accepted",
    ["application/json", "application/taxii+json;version=2.2", f"{MEDIA};q=0", "application/stix+json"],
)
def test_media_types_that_are_not(still: Lab, accepted: str) -> None:
    for address in (
        f"{still.url}/taxii2/",
        still.address("open", "objects"),
        still.address("open", "manifest"),
    ):
        answer = still.get(address, headers={"accept": accepted})
        assert (answer.status_code, answer.json()["http_status"]) == (406, "406")


def test_nothing_can_be_written(still: Lab) -> None:
    address = still.address("open", "objects")
    with httpx.Client(trust_env=False, headers=V21) as client:
        sent = client.post(address, content=b"{}", headers={"content-type": MEDIA})
        assert (sent.status_code, sent.headers["content-type"]) == (403, MEDIA)
        assert client.post(address, json={}).status_code == 415
        identifier = objects(still)[-1]["id"]
        deleted = client.delete(still.address("open", "objects", identifier))
        assert (deleted.status_code, deleted.json()["http_status"]) == (405, "405")
        assert "GET" in deleted.headers["allow"]
        assert client.post(still.address("shut", "objects"), content=b"{}").status_code == 401
        assert client.get(f"{still.url}/taxii2/api/status/x/").status_code == 404
        assert client.head(address).status_code == 200


def test_a_collection_behind_a_key_stays_shut_without_it(still: Lab) -> None:
    for parts in ([], ["objects"], ["manifest"], ["objects", "x"], ["objects", "x", "versions"]):
        for headers in (V21, {**V21, "authorization": "Bearer wrong-wrong-wrong-wrong"}):
            answer = still.get(still.address("shut", *parts), headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic")
            assert answer.json()["http_status"] == "401"
    basic = base64.b64encode(f"anyone:{KEY}".encode()).decode()
    for authorization in (f"Bearer {KEY}", f"Basic {basic}"):
        with_key = {**V21, "authorization": authorization}
        assert still.get(still.address("shut", "objects"), headers=with_key).status_code == 200
        listed = still.get(f"{still.url}/taxii2/api/collections/", headers=with_key).json()["collections"]
        assert {each["alias"] for each in listed} == {"open", "shut"}


def test_a_server_with_nothing_but_keys_asks_for_one(tmp_path: Path) -> None:
    with lab(tmp_path, collection("shut", access="key", keys=[KEY])) as made:
        for address in ("/taxii2/", "/taxii2/api/", "/taxii2/api/collections/"):
            assert made.get(made.url + address).status_code == 401
            assert made.get(f"{made.url}{address}", headers={**V21, "authorization": f"Bearer {KEY}"}).is_success


def test_each_object_keeps_its_id_and_what_returns_is_another(live: Lab) -> None:
    live.publish(domains(1))
    (first,) = objects(live, match_type="indicator")
    live.publish(domains(1, confidence="90"))
    (changed,) = objects(live, match_type="indicator")
    assert changed["id"] == first["id"]
    assert changed["created"] == first["created"]
    assert (changed["confidence"], changed["modified"]) == (90, "2026-01-01T00:02:00.000Z")
    live.publish([])
    (revoked,) = objects(live, match_type="indicator")
    assert (revoked["id"], revoked["revoked"], revoked["confidence"]) == (first["id"], True, 90)
    live.publish(domains(1))
    old, new = objects(live, match_type="indicator")
    assert (old["id"], old["revoked"]) == (first["id"], True)
    assert (new["id"] != first["id"], new["revoked"]) == (True, False)


def test_a_change_that_no_object_shows_moves_nothing(live: Lab) -> None:
    live.publish(domains(1, first_seen="2025-01-01T00:00:00Z"))
    before = objects(live)
    live.publish(domains(1, first_seen="2025-06-01T00:00:00Z"))
    assert objects(live) == before


def test_what_left_vanishes_after_a_time(live: Lab) -> None:
    live.publish(domains(1, 2))
    live.publish(domains(1))
    live.time.forward(days=6, hours=23)
    assert len(objects(live, match_type="indicator")) == 2
    live.time.forward(hours=2)
    assert names(objects(live)) == ["host-1.example.com"]


def test_a_reader_loses_nothing_while_others_write(live: Lab) -> None:
    """Pages are followed by changes: additions, removals, changes before and behind the reader."""
    live.publish(domains(*range(40)))
    address, seen, query = live.address("open", "objects"), [], {}
    kept = set(range(40))
    for step in range(100):
        answer = live.get(address, limit=5, match_type="indicator", **query).json()
        seen += [(each["name"], each["modified"], each.get("revoked", False)) for each in answer["objects"]]
        if not answer["more"]:
            break
        query = {"next": answer["next"]}
        if step < 6:
            kept = (kept - {step, 39 - step}) | {100 + step}
            changed = {10 + step, 30 - step}
            live.publish([*domains(*(kept - changed)), *domains(*changed, confidence=str(60 + step))])
    assert len(seen) == len(set(seen))
    final = {
        (each["name"], each["modified"], each.get("revoked", False)) for each in objects(live, match_type="indicator")
    }
    assert final <= set(seen)
    # Whatever came twice did so because it had changed.
    assert {name for name, _, _ in seen} == {f"host-{n}.example.com" for n in (*range(40), *range(100, 106))}


def test_versions_2_0_and_2_1_share_an_address(still: Lab) -> None:
    found = still.get(still.address("open", "objects"), headers=STIX_20)
    assert found.headers["content-type"] == STIX_20["accept"]
    assert found.json()["type"] == "bundle"
    assert still.get(still.address("open", "objects"), headers=TAXII_20).status_code == 406
    assert still.get(still.address("open", "manifest"), headers=TAXII_20).headers["content-type"] == TAXII_20["accept"]


def test_a_store_that_cannot_be_read_is_no_empty_collection(live: Lab) -> None:
    live.publish(domains(1))
    with live.engine.lake.writing() as con:
        con.execute(f"DROP TABLE {objects_table(live.engine.graph.ids['open'])}")
    answer = live.get(live.address("open", "objects"))
    assert (answer.status_code, answer.headers["content-type"]) == (503, MEDIA)
    assert "retry-after" in answer.headers
    assert "objects_" not in answer.text
