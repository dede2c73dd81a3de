"""Objects that are added over TAXII: the OASIS client in both versions, the status, and what is refused."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from taxii2client import v20, v21

from api.taxii import Lab, collection, lab
from tipline.api.serving import served
from tipline.config.check import check_text
from tipline.engine import envelopes
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.sources.ingest import Ingest, IngestSettings
from tipline.store.schema import claims_table

PASSWORD = "correct horse battery staple"
KEY, OTHER = "0123456789abcdef-in", "fedcba9876543210-ot"
V21 = {"accept": "application/taxii+json;version=2.1", "content-type": "application/taxii+json;version=2.1"}
V20 = {
    "accept": "application/vnd.oasis.taxii+json; version=2.0",
    "content-type": "application/vnd.oasis.stix+json; version=2.0",
}
OASIS = {"2.1": (v21, V21), "2.0": (v20, V20)}
MOMENT = "2026-01-01T00:00:00.000Z"


def indicator(pattern: str, **more: Any) -> dict[str, Any]:
    identity = f"indicator--{uuid.uuid5(uuid.NAMESPACE_URL, pattern)}"
    made = {"type": "indicator", "spec_version": "2.1", "id": identity, "created": MOMENT, "modified": MOMENT}
    return {**made, "pattern": pattern, "pattern_type": "stix", "valid_from": MOMENT, **more}


GOOD = indicator("[domain-name:value = 'good.example.com']")
PRIVATE = indicator("[ipv4-addr:value = '10.0.0.1']")
HALF = indicator("[ipv4-addr:value = '10.0.0.2'] OR [domain-name:value = 'half.example.com']")
SNORT = indicator("alert tcp any any", pattern_type="snort")
OBSERVED = {"type": "ipv4-addr", "spec_version": "2.1", "id": f"ipv4-addr--{uuid.uuid4()}", "value": "192.0.2.1"}
REPORT = {"type": "report", "id": f"report--{uuid.uuid4()}", "created": MOMENT, "modified": MOMENT, "name": "x"}
MALWARE = {"type": "malware", "id": f"malware--{uuid.uuid4()}", "created": MOMENT, "modified": MOMENT, "name": "Emotet"}
MIXED = [GOOD, PRIVATE, HALF, SNORT, OBSERVED, REPORT, MALWARE]


@pytest.fixture(name="inbound")
def _inbound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A source that takes objects, beside a collection that is read."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    given = {"kind": "ingest", "expire": "never", "max_bytes": 20_000, "keys": {"cert": KEY, "other": OTHER}}
    source = Ingest("partners", IngestSettings.model_validate({**given, "taxii": "From partners"}))
    plain = Ingest("scripts", IngestSettings.model_validate(given))
    with lab(tmp_path, source, plain, collection("open")) as made:
        yield made


def values(made: Lab) -> list[str]:
    with made.engine.lake.reading() as con:
        table = claims_table(made.engine.graph.ids["partners"])
        return [value for (value,) in con.execute(f"SELECT value FROM {table} ORDER BY value").fetchall()]


def post(made: Lab, body: Any, headers: dict[str, str] | None = None, **more: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"authorization": f"Bearer {KEY}", **(V21 if headers is None else headers), **more}
    address = f"{made.url}/taxii2/api/collections/partners/objects/"
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(address, content=content, headers=sent)


def ask(made: Lab, status: str, key: str = KEY, root: str = "api") -> httpx.Response:
    return made.get(f"{made.url}/taxii2/{root}/status/{status}/", {**V21, "authorization": f"Bearer {key}"})


@pytest.mark.parametrize("version", ["2.1", "2.0"])
def test_the_oasis_client_adds_objects_and_learns_what_became_of_each(inbound: Lab, version: str) -> None:
    client, _ = OASIS[version]
    with client.Server(f"{inbound.url}/taxii2/", user="cert", password=KEY) as server:
        root = server.default
        assert root.max_content_length == 20_000
        found = next(each for each in root.collections if each.title == "From partners")
        assert (found.can_read, found.can_write) == (False, True)
        bundle = {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "spec_version": "2.0", "objects": MIXED}
        told = found.add_objects({"objects": MIXED} if version == "2.1" else bundle, poll_interval=0.05)
    assert told.status == "complete"
    assert (told.total_count, told.success_count, told.failure_count, told.pending_count) == (7, 3, 4, 0)
    taken = [each["id"] if version == "2.1" else each for each in told.successes]
    assert taken == [GOOD["id"], HALF["id"], MALWARE["id"]]
    why = {each["id"]: each["message"] for each in told.failures}
    assert why[PRIVATE["id"]].startswith("private, loopback")
    assert "observables" in why[OBSERVED["id"]]
    assert "only indicators" in why[REPORT["id"]]
    assert set(why) == {PRIVATE["id"], SNORT["id"], OBSERVED["id"], REPORT["id"]}
    assert values(inbound) == ["good.example.com", "half.example.com"]


def test_a_revoked_object_is_followed(inbound: Lab) -> None:
    post(inbound, {"objects": [GOOD]})
    assert values(inbound) == ["good.example.com"]
    told = post(inbound, {"objects": [{**GOOD, "revoked": True, "modified": "2026-01-02T00:00:00Z"}]}).json()
    assert ask(inbound, told["id"]).json()["success_count"] == 1
    assert values(inbound) == []


def test_what_waits_is_pending_and_is_safe_on_disk(inbound: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tipline.engine.poll.Poller.poll", lambda *_, **__: None)
    answer = post(inbound, {"objects": [GOOD, PRIVATE]})
    assert answer.status_code == 202
    assert answer.headers["content-type"] == V21["accept"]
    told = answer.json()
    assert told["status"] == "pending"
    assert told["pendings"] == [{"id": GOOD["id"], "version": MOMENT}]
    assert [each["id"] for each in told["failures"]] == [PRIVATE["id"]]
    assert told["total_count"] == told["pending_count"] + told["failure_count"] == 2
    assert ask(inbound, told["id"]).json() == told
    monkeypatch.undo()
    inbound.engine.poll("partners")
    done = ask(inbound, told["id"]).json()
    assert (done["status"], done["success_count"], done["pending_count"]) == ("complete", 1, 0)
    assert done["request_timestamp"] == told["request_timestamp"]


def test_an_envelope_may_be_empty(inbound: Lab) -> None:
    for body in ({}, {"objects": []}):
        told = post(inbound, body).json()
        assert (told["total_count"], ask(inbound, told["id"]).json()["status"]) == (0, "complete")


def test_a_status_is_told_to_its_sender_only(inbound: Lab) -> None:
    told = post(inbound, {"objects": [GOOD]}).json()
    assert ask(inbound, told["id"]).status_code == 200
    assert ask(inbound, told["id"], OTHER).status_code == 404
    assert ask(inbound, told["id"], "nobody-knows-this-key").status_code == 404
    assert ask(inbound, told["id"], root="blue").status_code == 404
    for name in (str(uuid.uuid4()), "x", "..%2f..%2ftipline", f"{told['id']}%00"):
        assert ask(inbound, name).status_code == 404


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"nope", {}, 422, "JSON"),
        (b'{"objects": [{', {}, 422, "cut off"),
        (b'{"foo": 1}', {}, 422, "envelope"),
        ({"objects": ["text"]}, {}, 422, "no id or no type"),
        ({"objects": [{"type": "indicator"}]}, {}, 422, "no id or no type"),
        ({"objects": [{"id": GOOD["id"], "type": 7}]}, {}, 422, "no id or no type"),
        ([GOOD], {}, 422, "list of objects"),
        (GOOD, {}, 422, "list of objects"),
        (b'{"objects":' + b"[" * 9_000, {}, 422, ""),
        (b"x" * 20_001, {}, 413, "20,000 bytes"),
        ({"objects": []}, {"content-type": "application/json"}, 415, "application/taxii+json;version=2.1"),
        ({"objects": []}, {"content-type": V20["content-type"]}, 415, "application/taxii+json;version=2.1"),
        ({"objects": []}, {"content-type": "application/taxii+json;version=2.0"}, 415, "version=2.1"),
        ({"objects": []}, {"content-encoding": "gzip"}, 415, "not compressed"),
        ({"objects": []}, {"accept": "text/html"}, 406, "Accept"),
        ({"objects": []}, {"authorization": "Bearer wrong-wrong-wrong"}, 401, "key"),
        ({"objects": []}, {"authorization": ""}, 401, "key"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_nothing(
    inbound: Lab, body: Any, headers: dict[str, str], status: int, words: str
) -> None:
    answer = post(inbound, body, **headers)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["description"]
    assert answer.json()["http_status"] == str(status)
    assert KEY not in answer.text
    assert values(inbound) == []
    assert list(inbound.engine.data.glob("inbox/partners/**/*.*")) == []
    assert list(inbound.engine.data.glob("tmp*")) == []


def test_a_body_without_a_length_is_cut_off_too(inbound: Lab) -> None:
    address = f"{inbound.url}/taxii2/api/collections/partners/objects/"
    headers = {**V21, "authorization": f"Bearer {KEY}"}
    with httpx.Client(trust_env=False) as client:
        answer = client.post(address, content=iter([b"y" * 5_000] * 10), headers=headers)
    assert answer.status_code == 413


def test_a_collection_is_written_or_read_and_never_both(inbound: Lab) -> None:
    key = {"authorization": f"Bearer {KEY}"}
    for what in ("objects", "manifest", f"objects/{GOOD['id']}", f"objects/{GOOD['id']}/versions"):
        assert inbound.get(f"{inbound.url}/taxii2/api/collections/partners/{what}/", {**V21, **key}).status_code == 403
    with httpx.Client(trust_env=False, headers={**V21, **key}) as client:
        address = f"{inbound.url}/taxii2/api/collections"
        assert client.post(f"{address}/open/objects/", json={"objects": []}).status_code == 403
        assert client.post(f"{address}/scripts/objects/", json={"objects": []}).status_code == 404
        assert client.delete(f"{address}/partners/objects/{GOOD['id']}/").status_code == 405


def test_who_has_no_key_does_not_see_the_collection(inbound: Lab) -> None:
    listed = inbound.get(f"{inbound.url}/taxii2/api/collections/").json()["collections"]
    assert [each["alias"] for each in listed] == ["open"]
    assert inbound.get(f"{inbound.url}/taxii2/api/collections/partners/").status_code == 401


def test_only_the_newest_statuses_are_kept(inbound: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelopes, "_MOST_KEPT", 2)
    told = [post(inbound, {"objects": []}).json()["id"] for _ in range(4)]
    assert [ask(inbound, each).status_code for each in told] == [404, 404, 200, 200]


def senders(engine: Engine) -> list[str]:
    folder = engine.data / "inbox" / "partners" / "envelopes"
    return [json.loads(file.read_bytes())["sender"] for file in folder.glob("*.json")]


def test_users_add_objects_with_their_keys(tmp_path: Path) -> None:
    text = """\
http: {port: 0}
sources:
  partners: {kind: ingest, expire: never, taxii: From partners, team: blue}
outputs:
  all: {kind: list, inputs: partners, team: blue}
"""
    with (
        Engine(check_text(text, tmp_path / "tipline.yml").usable()) as engine,
        served(engine, [("127.0.0.1", 0)]) as (urls, _),
    ):
        accounts = Accounts(engine.control, engine.clock)
        keys = {}
        for name, role, team in (("anna", "analyst", "blue"), ("bob", "analyst", "red"), ("vera", "viewer", "blue")):
            accounts.add(name, role=role, team=team, password=PASSWORD)
            keys[name] = accounts.make_key(name)["key"]
        with httpx.Client(base_url=urls[0], timeout=60, trust_env=False) as http:
            address = "/taxii2/blue/collections/partners/objects/"
            strangers = [http.get("/taxii2/", auth=("anyone", "a-key-of-something")).status_code for _ in range(30)]
            codes = {
                name: http.post(address, json={"objects": [GOOD]}, headers={**V21, "authorization": f"Bearer {key}"})
                for name, key in keys.items()
            }
            told = f"/taxii2/blue/status/{codes['anna'].json()['id']}/"
            shown, end = {**V21, "authorization": f"Bearer {keys['anna']}"}, time.monotonic() + 60
            while http.get(told, headers=shown).json()["status"] != "complete":
                assert time.monotonic() < end
                time.sleep(0.05)
        assert {name: answer.status_code for name, answer in codes.items()} == {"anna": 202, "bob": 401, "vera": 401}
        assert senders(engine) == ["user anna"]
        assert set(strangers) == {401}
        assert accounts.signin.check("anna", PASSWORD, "127.0.0.1")["name"] == "anna"
