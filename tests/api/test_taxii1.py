"""The TAXII 1.1 server, asked by cabby, by libtaxii's validators, and by our own client."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.listening import listening
from api.taxii import KEY, collection, domains
from engine.support import NO_GUARD, Time, configuration, source
from sources.opentaxii import run
from tipline.api import taxii1
from tipline.api.taxii1 import services
from tipline.engine.core import Engine
from tipline.sources.base import PollContext
from tipline.sources.taxii1 import Taxii1, Taxii1Settings

SPACE = "http://taxii.mitre.org/messages/taxii_xml_binding-1.1"
HEADERS = {
    "x-taxii-content-type": "urn:taxii.mitre.org:message:xml:1.1",
    "x-taxii-services": "urn:taxii.mitre.org:services:1.1",
    "x-taxii-protocol": "urn:taxii.mitre.org:protocol:http:1.0",
    "content-type": "application/xml",
}
_CABBY = """
import json, sys
from cabby import create_client
port, key, begin = int(sys.argv[1]), sys.argv[2], sys.argv[3]
client = create_client("127.0.0.1", port=port, discovery_path="/taxii-discovery-service", version="1.1")
if key:
    client.set_auth(username="any", password=key)
from dateutil.parser import parse
services = [each.type for each in client.discover_services()]
names = [each.name for each in client.get_collections()]
from libtaxii.validation import SchemaValidator
blocks = [b.content.decode() for b in client.poll(names[0], begin_date=parse(begin) if begin else None)]
count = client.get_content_count(names[0])
print(json.dumps([services, names, blocks, count.count]))
"""
_SCHEMA = """
import sys
from libtaxii.validation import SchemaValidator
from sdv import validate_xml
from lxml import etree
result = SchemaValidator(SchemaValidator.TAXII_11_SCHEMA).validate_file(sys.argv[1])
print("valid" if result.valid else result.error_log)
for number, each in enumerate(etree.parse(sys.argv[1]).iter("{http://stix.mitre.org/stix-1}STIX_Package")):
    path = f"{sys.argv[1]}.{number}"
    etree.ElementTree(each).write(path)
    found = validate_xml(path, version="1.1.1")
    print("valid" if found.is_valid else [str(error) for error in found.errors])
"""


class Lab:
    def __init__(self, engine: Engine, feed: Any, time: Time, url: str) -> None:
        self.engine, self.feed, self.time, self.url = engine, feed, time, url

    def publish(self, rows: list[dict[str, Any]]) -> None:
        self.time.forward(minutes=1)
        self.feed.rows = rows
        self.engine.poll("feed")
        self.engine.evaluate()

    def ask(self, path: str, message: str, **headers: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.post(self.url + path, content=message, headers=HEADERS | headers)

    def poll(self, name: str = "c", inner: str = "") -> httpx.Response:
        message = f'<Poll_Request xmlns="{SPACE}" message_id="1" collection_name="{name}">{inner}'
        message += "" if "Poll_Parameters" in inner else "<Poll_Parameters/>"
        return self.ask("/taxii-poll-service", message + "</Poll_Request>")

    def cabby(self, key: str = "", begin: str = "") -> list[Any]:
        port = str(httpx.URL(self.url).port)
        found: list[Any] = json.loads(run("python", "-c", _CABBY, port, key, begin))
        return found


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    feed, time = source("feed"), Time()
    options = getattr(request, "param", {})
    made = configuration(tmp_path, feed, collection("c", **options))
    with Engine(made, clock=time) as engine, listening(taxii1.router(engine)) as url:
        yield Lab(engine, feed, time, url)


def test_cabby_finds_and_polls(lab: Lab) -> None:
    lab.publish(domains(1, 2))
    services_, names, blocks, count = lab.cabby()
    assert services_ == ["DISCOVERY", "COLLECTION_MANAGEMENT", "POLL"]
    assert (names, count) == (["c"], 2)
    assert all(f"host-{number}.example.com" in "".join(blocks) for number in (1, 2))


@pytest.mark.parametrize("lab", [{"access": "key", "keys": [KEY]}], indirect=True)
def test_the_commands_of_cabby_and_libtaxii(lab: Lab, tmp_path: Path) -> None:
    """Those that OpenTAXII's manual and libtaxii's give to its users."""
    lab.publish(domains(1, 2))
    sign_in = ["--username", "any", "--password", KEY]
    path, poll = ["--path", f"{lab.url}/taxii-discovery-service"], ["--path", f"{lab.url}/taxii-poll-service"]
    assert "Service Type: POLL" in run("taxii-discovery", *path, *sign_in)
    discovery = ["--discovery", path[1]]
    assert "Collection Name: c\n" in run("taxii-collections", *discovery, *sign_in)
    blocks = run("taxii-poll", *poll, *sign_in, "--collection", "c")
    assert all(f"host-{number}.example.com" in blocks for number in (1, 2))
    user = ["--username", "any", "--pass", KEY]
    told = run("discovery_client", "-u", f"{lab.url}/taxii-discovery-service", *user)
    assert "taxii-poll-service" in told
    listed = run("collection_information_client", "-u", f"{lab.url}/taxii-collection-management-service", *user)
    assert "Collection Name: c" in listed
    got = run(
        "poll_client", "-u", f"{lab.url}/taxii-poll-service", "--collection", "c", *user, "--dest-dir", str(tmp_path)
    )
    kept = " ".join(path.read_text() for path in tmp_path.glob("*.xml"))
    assert all(f"host-{number}.example.com" in got + kept for number in (1, 2))


def test_answers_and_packages_are_valid(lab: Lab, tmp_path: Path) -> None:
    rows = domains(1, confidence=80, tlp=1, description="a < b & c", tags=["x"])
    rows += [{"value": "198.51.100.0/24", "type": "ipv4"}, {"value": "http://a.example/?a=1&b=<2>", "type": "url"}]
    rows += [{"value": "0a" * 16, "type": "md5"}, {"value": "x@a.example", "type": "email"}]
    lab.publish(rows)
    path = tmp_path / "answer.xml"
    path.write_bytes(lab.poll().content)
    assert run("python", "-c", _SCHEMA, str(path)).split("\n")[:-1] == ["valid", "valid"]


def test_parts_of_a_result_and_our_own_client(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_PART", 4)
    monkeypatch.setattr(services, "_BLOCK", 3)
    lab.publish(domains(*range(25)))
    assert len("".join(lab.cabby()[2]).split("<stix:Indicator ")) == 26
    given = {
        "kind": "taxii1", "url": f"{lab.url}/taxii-discovery-service", "allow_private": True, "guard": NO_GUARD,
    }  # fmt: skip
    node = Taxii1("t", Taxii1Settings.model_validate(given))

    def polled(cursor: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        poll = node.poll(PollContext(spool=tmp_path, cursor=cursor, as_of=lab.time(), feed="t"))
        rows = [row for frame in poll.frames for row in frame.to_dicts()]
        return {row["value"]: row for row in rows}, poll.cursor

    first, cursor = polled({})
    assert set(first) == {f"host-{number}.example.com" for number in range(25)}
    assert polled(cursor) == ({}, cursor)
    lab.publish(domains(*range(24), 99))
    changed, _ = polled(cursor)
    assert set(changed) == {"host-24.example.com", "host-99.example.com"}
    assert changed["host-24.example.com"]["valid_until"]
    assert not changed["host-99.example.com"]["valid_until"]


@pytest.mark.parametrize("lab", [{"access": "key", "keys": [KEY]}], indirect=True)
def test_a_key_is_asked_for(lab: Lab) -> None:
    lab.publish(domains(1))
    refused = lab.poll()
    assert (refused.status_code, "UNAUTHORIZED" in refused.text) == (401, True)
    assert "host-1" not in refused.text
    assert "host-1.example.com" in "".join(lab.cabby(KEY)[2])


def test_spans_of_time(lab: Lab) -> None:
    lab.publish(domains(1))
    between = lab.time()
    lab.publish(domains(1, 2))
    after = f"<Exclusive_Begin_Timestamp>{between.isoformat()}Z</Exclusive_Begin_Timestamp>"
    until = f"<Inclusive_End_Timestamp>{(between + timedelta(seconds=1)).isoformat()}Z</Inclusive_End_Timestamp>"
    assert ("host-1." in lab.poll(inner=after).text, "host-2." in lab.poll(inner=after).text) == (False, True)
    assert ("host-1." in lab.poll(inner=until).text, "host-2." in lab.poll(inner=until).text) == (True, False)


def message(name: str, attributes: str = "", inner: str = "") -> str:
    return f'<{name} xmlns="{SPACE}" message_id="1" {attributes}>{inner}</{name}>'


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("<x/>", "UNSUPPORTED_MESSAGE"),
        ("<", "BAD_MESSAGE"),
        ('<!DOCTYPE a [<!ENTITY e "x">]>' + message("Poll_Request", inner="&e;"), "UNSUPPORTED"),
        (message("Discovery_Request"), "UNSUPPORTED_MESSAGE"),
        (message("Poll_Request", 'collection_name="&lt;a"'), "NOT_FOUND"),
        (message("Poll_Fulfillment", 'collection_name="c" result_id="&lt;a" result_part_number="1"'), "NOT_FOUND"),
        (
            message("Poll_Request", 'collection_name="c"', "<Inclusive_End_Timestamp>soon</Inclusive_End_Timestamp>"),
            "BAD_MESSAGE",
        ),
        (" " * 70_000, "BAD_MESSAGE"),
    ],
)
def test_what_cannot_be_answered_is_said(lab: Lab, message: str, word: str) -> None:
    answer = lab.ask("/taxii-poll-service", message)
    assert word in answer.text
    assert "<a" not in answer.text


def test_headers_of_other_versions_are_refused(lab: Lab) -> None:
    binding = {"x-taxii-content-type": "urn:taxii.mitre.org:message:xml:1.0"}
    answer = lab.ask("/taxii-discovery-service", f'<Discovery_Request xmlns="{SPACE}" message_id="1"/>', **binding)
    assert answer.status_code == 400
