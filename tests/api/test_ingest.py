"""Pushing indicators: keys, formats, accounts, withdrawals, limits; and what a killed process keeps."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tipline.api.serving import served
from tipline.config.check import check_text
from tipline.engine.accounts import Accounts
from tipline.engine.core import Engine
from tipline.engine.inbox import status, submit
from tipline.engine.people import RequestError
from tipline.store.schema import claims_table

KEY, OTHER = "0123456789abcdef-hp", "fedcba9876543210-ot"
CONFIG = f"""\
http: {{port: 0}}
sources:
  push:
    kind: ingest
    expire: added + 30d
    tlp: clear
    max_bytes: 100000
    keys: {{honeypot: {KEY}, other: {OTHER}}}
  feed: {{kind: local}}
  theirs: {{kind: ingest, expire: never, team: other, keys: {{x: {OTHER}}}}}
teams: {{other: {{}}}}
outputs:
  all: {{kind: list, inputs: [push, feed]}}
"""
RIGHT = {"Authorization": f"Bearer {KEY}"}
STIX = {
    "type": "bundle",
    "id": "bundle--0d0a5f6b-5a9c-4a0c-a7a6-3a4c9d6c8b11",
    "objects": [
        {
            "type": "indicator",
            "spec_version": "2.1",
            "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            "created": "2024-01-01T00:00:00Z",
            "modified": "2024-01-01T00:00:00Z",
            "pattern": "[domain-name:value = 'stix.example.com']",
            "pattern_type": "stix",
            "valid_from": "2024-01-01T00:00:00Z",
        }
    ],
}
MISP = {
    "Event": {
        "uuid": "5b5a8f1e-0c1c-4bb4-a0d7-4a6c950d210f",
        "info": "x",
        "date": "2024-01-01",
        "Attribute": [
            {
                "uuid": "5b5a8f1e-0c1c-4bb4-a0d7-4a6c950d2110",
                "type": "domain",
                "value": "misp.example.com",
                "to_ids": True,
            }
        ],
    }
}

STIX1 = b"""<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" xmlns:indicator="http://stix.mitre.org/Indicator-2"
 xmlns:cybox="http://cybox.mitre.org/cybox-2" xmlns:d="http://cybox.mitre.org/objects#DomainNameObject-1"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" id="e:package-1" version="1.1.1">
 <stix:Indicators><stix:Indicator id="e:indicator-1" xsi:type="indicator:IndicatorType"><indicator:Observable>
 <cybox:Object><cybox:Properties xsi:type="d:DomainNameObjectType" type="FQDN">
 <d:Value condition="Equals">old.example.com</d:Value></cybox:Properties></cybox:Object>
 </indicator:Observable></stix:Indicator></stix:Indicators></stix:STIX_Package>"""


@pytest.fixture(name="engine")
def _engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(check_text(CONFIG, tmp_path / "tipline.yml").usable()) as engine:
        yield engine


@pytest.fixture(name="http")
def _http(engine: Engine) -> Iterator[httpx.Client]:
    with served(engine, [("127.0.0.1", 0)]) as (urls, _), httpx.Client(base_url=urls[0], timeout=60) as http:
        yield http


def push(http: httpx.Client, body: Any, media: str, method: str = "POST", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    address = "/api/v1/ingest/push"
    return http.request(method, address, content=content, headers={**RIGHT, "Content-Type": media, **headers})


def claims(engine: Engine) -> list[tuple[str, str]]:
    with engine.lake.reading() as con:
        query = f"SELECT value, record FROM {claims_table(engine.graph.ids['push'])} ORDER BY value"
        return con.execute(query).fetchall()


@pytest.mark.parametrize(
    ("media", "body", "values"),
    [
        ("text/plain", b"one.example.com\ntwo.example.com\n", ["one.example.com", "two.example.com"]),
        ("text/csv; charset=utf-8", b"type,value\ndomain,csv.example.com\n", ["csv.example.com"]),
        ("text/csv", b"just.example.com\n", []),
        ("application/json", [{"value": "a.example.com", "confidence": 90}], ["a.example.com"]),
        ("application/json", ["b.example.com"], ["b.example.com"]),
        ("application/json", {"indicator": "c.example.com", "type": "domain"}, ["c.example.com"]),
        ("application/x-ndjson", b'{"value":"d.example.com"}\n{"value":"e.example.com"}\n',
         ["d.example.com", "e.example.com"]),
        ("application/json", STIX, ["stix.example.com"]),
        ("application/taxii+json;version=2.1", {"objects": STIX["objects"]}, ["stix.example.com"]),
        ("application/json", MISP, ["misp.example.com"]),
        ("text/plain", gzip.compress(b"packed.example.com\n", mtime=0), ["packed.example.com"]),
    ],
)  # fmt: skip
def test_every_format_is_taken(engine: Engine, http: httpx.Client, media: str, body: Any, values: list[str]) -> None:
    answer = push(http, body, media)
    assert answer.status_code == 200, answer.text
    account = answer.json()
    assert account["state"] == "processed"
    assert account["accepted"] == account["added"] == len(values)
    assert [value for value, _ in claims(engine)] == values
    assert all(record.startswith("honeypot/") for _, record in claims(engine))


def test_the_answer_is_the_account(http: httpx.Client) -> None:
    answer = push(http, b"ok.example.com\nok.example.com\n10.0.0.1\n", "text/plain")
    found = answer.json()
    expected = {"read": 3, "accepted": 1, "duplicate": 1, "dropped": {"not-routable": 1}, "added": 1}
    assert {name: found[name] for name in expected} == expected
    assert found["samples"] == [{"reason": "not-routable", "value": "10.0.0.1"}]
    assert http.get(answer.headers["location"], headers=RIGHT).json() == found
    theirs = http.get(answer.headers["location"], headers={"X-API-Key": OTHER})
    assert theirs.status_code == 404
    end = time.monotonic() + 60
    while http.get("/feeds/all").text != "ok.example.com\n":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_cannot_be_read_is_refused_whole_and_accounted(engine: Engine, http: httpx.Client) -> None:
    answer = push(http, b'[{"value": "a.example.com"}, {', "application/json")
    assert answer.status_code in {200, 422}
    answer = push(http, b"{nope", "application/stix+json")
    assert answer.status_code == 422
    assert answer.json()["dropped"] == {"unreadable": 1}
    assert answer.json()["message"]
    assert push(http, b"after.example.com", "text/plain").json()["added"] == 1
    assert "stix" not in str(claims(engine))


def test_a_sender_takes_back_its_own_only(engine: Engine, http: httpx.Client) -> None:
    push(http, b"a.example.com\nb.example.com\n", "text/plain")
    push(http, b"a.example.com\n", "text/plain", Authorization=f"Bearer {OTHER}")
    answer = push(http, b"a.example.com\nnever.example.com\n", "text/plain", "DELETE")
    assert (answer.json()["accepted"], answer.json()["removed"]) == (2, 1)
    assert claims(engine) == [("a.example.com", "other/"), ("b.example.com", "honeypot/")]


def test_a_revoked_object_goes(engine: Engine, http: httpx.Client) -> None:
    push(http, STIX, "application/json")
    assert len(claims(engine)) == 1
    later = {**STIX["objects"][0], "modified": "2024-02-01T00:00:00Z", "revoked": True}
    push(http, {**STIX, "objects": [later]}, "application/json")
    assert claims(engine) == []


def test_xml_is_stix_1(engine: Engine, http: httpx.Client) -> None:
    """What MineMeld's TAXII clients and old platforms hand on."""
    answer = push(http, STIX1, "application/xml")
    assert answer.status_code == 200, answer.text
    assert [value for value, _ in claims(engine)] == ["old.example.com"]
    entity = STIX1.replace(
        b"<stix:STIX_Package", b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><stix:STIX_Package"
    )
    refused = push(http, entity.replace(b"old.example.com", b"&e;"), "text/xml")
    assert refused.json().get("accepted", 0) == 0
    assert "root" not in refused.text


def event(uuid: str, *attributes: tuple[str, str, bool]) -> dict[str, Any]:
    """A MISP event with domains: end of the uuid, value, and whether it is deleted."""
    stem = MISP["Event"]["Attribute"][0]
    found = [
        {**stem, "uuid": stem["uuid"][:-1] + end, "value": value, "deleted": deleted}
        for end, value, deleted in attributes
    ]
    return {"Event": {**MISP["Event"], "uuid": MISP["Event"]["uuid"][:-2] + uuid, "Attribute": found}}


def test_deleted_attributes_of_an_event_go(engine: Engine, http: httpx.Client) -> None:
    """The event comes again with one attribute deleted and one left out; another event and another sender stay."""
    first = event("aa", ("1", "one.example.com", False), ("2", "two.example.com", False), ("3", "x.example.com", False))
    push(http, first, "application/json")
    push(http, event("bb", ("2", "two.example.com", False)), "application/json")
    push(http, first, "application/json", Authorization=f"Bearer {OTHER}")
    assert len(claims(engine)) == 7
    again = event("aa", ("1", "one.example.com", False), ("2", "two.example.com", True))
    answer = push(http, again, "application/json").json()
    assert (answer["dropped"], answer["removed"]) == ({"deleted": 1}, 1)
    left = [record.split("/")[0] for value, record in claims(engine) if value == "two.example.com"]
    assert sorted(left) == ["honeypot", "other"]
    assert len(claims(engine)) == 6


@pytest.mark.parametrize(
    ("role", "team", "scopes", "code"),
    [
        ("analyst", "default", [], 200),
        ("admin", "other", [], 200),
        ("analyst", "default", ["indicators"], 200),
        ("analyst", "default", ["read"], 401),
        ("viewer", "default", [], 401),
        ("reader", "default", [], 401),
        ("analyst", "other", [], 401),
    ],
)
def test_users_push_into_sources_of_their_team(
    engine: Engine, http: httpx.Client, role: str, team: str, scopes: list[str], code: int
) -> None:
    accounts = Accounts(engine.control, engine.clock)
    accounts.add("ann+soc@example.org", role=role, team=team)
    key = accounts.make_key("ann+soc@example.org", scopes=scopes)["key"]
    answer = push(http, b"a.example.com\n", "text/plain", Authorization=f"Bearer {key}")
    assert answer.status_code == code, answer.text
    if code == 200:
        assert claims(engine) == [("a.example.com", "user ann%2Bsoc@example.org/")]
        mine = http.get(answer.headers["location"], headers={"Authorization": f"Bearer {key}"})
        assert mine.json()["state"] == "processed"
        assert http.get(answer.headers["location"], headers=RIGHT).status_code == 404
        assert push(http, b"a.example.com\n", "text/plain", "DELETE").json()["removed"] == 0
        accounts.revoke(key[:8])
        assert push(http, b"b.example.com\n", "text/plain", Authorization=f"Bearer {key}").status_code == 401


def test_a_users_key_pushes_no_more_often_than_it_may(engine: Engine, http: httpx.Client) -> None:
    accounts = Accounts(engine.control, engine.clock)
    accounts.add("ann", role="analyst", team="default")
    key = accounts.make_key("ann", rate=2)["key"]
    shown = {"Authorization": f"Bearer {key}", "Prefer": "respond-async"}
    codes = [push(http, b"a.example.com\n", "text/plain", **shown).status_code for _ in range(3)]
    assert codes[-1] == 429


@pytest.mark.parametrize("source", ["push", "feed", "all", "nothing", "..%2f..%2fetc"])
@pytest.mark.parametrize("shown", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": ""}])
def test_without_a_key_nothing_is_told(engine: Engine, http: httpx.Client, source: str, shown: dict[str, str]) -> None:
    answer = http.post(f"/api/v1/ingest/{source}", content=b"x" * 200_000, headers=shown)
    assert answer.status_code in {401, 404}
    assert not (engine.data / "inbox").exists()


def test_too_large_is_refused_with_and_without_a_length(engine: Engine, http: httpx.Client) -> None:
    assert push(http, b"x" * 100_001, "text/plain").status_code == 413
    parts = (b"y" * 1000 for _ in range(200))
    address = "/api/v1/ingest/push?format=lines"
    assert http.post(address, content=parts, headers=RIGHT).status_code == 413
    assert list((engine.data / "inbox" / "push").iterdir()) == []


def test_a_body_of_no_known_form_is_refused(http: httpx.Client) -> None:
    assert push(http, b"a.example.com", "image/png").status_code == 415
    assert push(http, b"  \n", "text/plain").status_code == 415
    answer = http.post("/api/v1/ingest/push?format=nonsense", content=b"x", headers=RIGHT)
    assert answer.status_code == 415
    assert "lines" in answer.json()["fix"]


def test_too_much_that_waits_is_put_off(engine: Engine, http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tipline.engine.inbox.waiting_bytes", lambda _: 1 << 40)
    answer = push(http, b"a.example.com", "text/plain")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_who_does_not_wait_is_told_where_to_ask(http: httpx.Client) -> None:
    answer = push(http, b"a.example.com", "text/plain", Prefer="respond-async")
    assert answer.status_code in {200, 202}
    assert answer.json()["submission"] in answer.headers["location"]


def test_submissions_are_read_in_order_after_a_restart(engine: Engine) -> None:
    one = submit(engine, "push", [b"a.example.com\nb.example.com"], format="lines", sender="honeypot")
    two = submit(engine, "push", [b"a.example.com"], format="lines", sender="honeypot", withdraw=True)
    assert status(engine, "push", one)["state"] == "waiting"
    assert engine.poll("push").more
    assert not engine.poll("push").more
    assert [status(engine, "push", each)["state"] for each in (one, two)] == ["processed", "processed"]
    assert [value for value, _ in claims(engine)] == ["b.example.com"]


def test_a_submission_that_was_committed_is_not_read_twice(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies between the commit and the removal of the file."""
    first = submit(engine, "push", [b"a.example.com"], format="lines", sender="honeypot")
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    engine.poll("push")
    monkeypatch.undo()
    assert len(list((engine.data / "inbox" / "push").iterdir())) == 1
    result = engine.poll("push")
    assert (result.ledger.read, result.committed) == (0, False)
    assert list((engine.data / "inbox" / "push").iterdir()) == []
    assert engine.poll("push").state == "unchanged"
    assert status(engine, "push", first, sender="honeypot")["accepted"] == 1


def test_a_submission_whose_run_was_lost_counts_as_processed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies between the commit and the record of its run; others wait behind it."""
    first = submit(engine, "push", [b"a.example.com"], format="lines", sender="honeypot")
    monkeypatch.setattr("tipline.engine.poll.record_run", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        engine.poll("push")
    monkeypatch.undo()
    assert status(engine, "push", first)["state"] == "waiting"
    later = submit(engine, "push", [b"b.example.com"], format="lines", sender="honeypot")
    while engine.poll("push").more:
        pass
    found = status(engine, "push", first, sender="honeypot")
    assert found["state"] == "processed"
    assert "read" not in found
    assert found["message"]
    assert status(engine, "push", later, sender="honeypot")["added"] == 1
    assert len(claims(engine)) == 2
    for other in ("other", "honey", "honeypot; committed"):
        with pytest.raises(RequestError):
            status(engine, "push", first, sender=other)


CHILD = """
import sys
from pathlib import Path
from tipline.api.serving import served
from tipline.config.check import load
from tipline.engine.core import Engine
with Engine(load(Path(sys.argv[1]))) as engine, served(engine, [("127.0.0.1", 0)]) as (urls, scheduler):
    engine.poll = lambda name: scheduler.wake() or __import__("time").sleep(3600)
    print(urls[0], flush=True)
    sys.stdin.read()
"""


def test_what_was_accepted_survives_kill_9(tmp_path: Path) -> None:
    (tmp_path / "tipline.yml").write_text(CONFIG)
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path / "tipline.yml")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        url = next(line for line in map(bytes.decode, process.stdout) if line.startswith("http://")).strip()
        with httpx.Client(base_url=url, timeout=60) as http:
            answers = [push(http, f"s{n}.example.com".encode(), "text/plain", Prefer="wait=0") for n in range(5)]
        assert [answer.status_code for answer in answers] == [202] * 5
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    with Engine(check_text(CONFIG, tmp_path / "tipline.yml").usable()) as engine:
        while engine.poll("push").more:
            pass
        assert [value for value, _ in claims(engine)] == [f"s{n}.example.com" for n in range(5)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("keys: {a: short}", "the key of a is shorter than 16 characters"),
        ("keys: {'a/b': 0123456789abcdef}", "no name for a sender"),
        ("formats: {csv: {colums: {value: 2}}}", "no setting 'colums'"),
        ("formats: {nonsense: {}}", "reads no bodies"),
    ],
)
def test_wrong_settings_are_told_without_a_secret(tmp_path: Path, settings: str, words: str) -> None:
    text = f"sources: {{p: {{kind: ingest, expire: never, {settings}}}}}\noutputs: {{l: {{kind: list, inputs: p}}}}\n"
    told = " ".join(str(problem) for problem in check_text(text, tmp_path / "t.yml").problems)
    assert words in told
    assert "0123456789abcdef" not in told


def test_expire_has_to_be_said(tmp_path: Path) -> None:
    text = "sources: {p: {kind: ingest}}\noutputs: {l: {kind: list, inputs: p}}\n"
    assert "expire is missing" in str(check_text(text, tmp_path / "t.yml").problems[0])
