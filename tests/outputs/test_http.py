"""Declared HTTP deliveries: the shipped templates against stand-ins, and a template of one's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from engine.lab import Killed, hashes
from outputs.delivering import Asked, Bench, Said, Server, bench, no_waits, refuse
from outputs.elastic import KEY, Elastic
from outputs.splunk import TOKEN, Hec, KvStore
from tipline.engine.reconcile import reconcile
from tipline.errors import FarSideError
from tipline.outputs.http import Http, HttpKindSettings
from tipline.outputs.http_filling import filling
from tipline.outputs.http_requests import BatchCalls
from tipline.outputs.http_template import Template, shipped


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return no_waits(monkeypatch)


@pytest.fixture
def elastic() -> Iterator[Elastic]:
    with Elastic() as running:
        yield running


@pytest.fixture
def hec() -> Iterator[Hec]:
    with Hec() as running:
        yield running


@pytest.fixture
def store() -> Iterator[KvStore]:
    with KvStore() as running:
        yield running


@pytest.fixture
def lab(elastic: Elastic, waited: list[float]) -> Iterator[Bench]:
    with bench(Http, template="elasticsearch", url=elastic.url, token=KEY) as made:
        yield made


@pytest.fixture
def hec_lab(hec: Hec, waited: list[float]) -> Iterator[Bench]:
    with bench(Http, template="splunk-hec", url=hec.url, token=TOKEN, values={"index": "threat"}) as made:
        yield made


def lost(server: Server) -> Any:
    """The request is acted on, and the answer is lost."""

    def fault(asked: Asked) -> Said:
        server.answer(asked)
        return Said(cut=True)

    return fault


def test_what_a_document_says(lab: Bench, elastic: Elastic) -> None:
    lab.publish([{"value": "8.8.8.8", "confidence": 90, "tlp": 3, "tags": ["b", "a"], "refs": ["https://r.example/1"]},
                 "bad.com", "a" * 64])  # fmt: skip
    assert lab.deliverer.cycle().accepted == 3
    doc = elastic.docs()["8.8.8.8"]
    assert doc["threat"]["indicator"] == {
        "type": "ipv4-addr", "ip": "8.8.8.8", "confidence": "High", "marking": {"tlp": "AMBER+STRICT"},
        "provider": ["feed"], "reference": "https://r.example/1",
    }  # fmt: skip
    assert doc["event"]["kind"] == "enrichment"
    assert doc["tags"] == ["a", "b"]
    assert elastic.docs()["a" * 64]["threat"]["indicator"]["file"] == {"hash": {"sha256": "a" * 64}}
    assert elastic.docs()["bad.com"]["threat"]["indicator"]["url"] == {"domain": "bad.com"}
    assert elastic.mappings["threat-intel"]["properties"]["threat"]["properties"]["indicator"]["properties"]["ip"]


def test_networks_become_addresses_and_types_without_a_field_are_dropped(lab: Bench, elastic: Elastic) -> None:
    lab.publish(["8.8.8.0/30", "9.9.0.0/16", {"value": "CVE-2024-1234", "type": "cve"}])
    lab.deliverer.cycle()
    assert sorted(elastic.docs()) == ["8.8.8.0", "8.8.8.1", "8.8.8.2", "8.8.8.3"]


def test_the_difference_travels_and_what_left_is_deleted(lab: Bench, elastic: Elastic) -> None:
    lab.publish(hashes(30))
    lab.deliverer.cycle()
    before = elastic.writes
    lab.publish([*hashes(29), "bad.com"])
    report = lab.deliverer.cycle()
    assert (report.accepted, report.deleted, elastic.writes - before) == (1, 1, 2)
    assert sorted(elastic.docs()) == sorted(lab.published())
    lab.restart().cycle()
    assert elastic.writes - before == 2


@pytest.mark.parametrize("status", [429, 502])
def test_pushed_back_and_broken(lab: Bench, elastic: Elastic, waited: list[float], status: int) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    elastic.faults = [refuse(status, Retry_After="11"), lost(elastic)]
    lab.publish(["bad.com", *hashes(5)])
    assert lab.deliverer.cycle().accepted == 5
    assert [wait for wait in waited if wait >= 11] == [11]
    assert sorted(elastic.docs()) == sorted(lab.published())
    assert len(elastic.indices["threat-intel"]) == 6


def test_items_that_are_refused_alone(lab: Bench, elastic: Elastic) -> None:
    values = hashes(4)
    elastic.sick = {values[0]: (429, "rejected execution"), values[1]: (400, "failed to parse")}
    lab.publish(values)
    report = lab.deliverer.cycle()
    assert (report.accepted, sum(report.errors.values())) == (2, 2)
    assert lab.receipts()[values[0]].due is not None
    assert lab.receipts()[values[1]].due is None
    assert "mapper_parsing_exception: failed to parse" in lab.receipts()[values[1]].reason
    elastic.sick.clear()
    lab.advance(minutes=5)
    lab.deliverer.cycle()
    assert len(elastic.docs()) == 3


def test_a_process_that_dies_after_a_batch_doubles_nothing(lab: Bench, elastic: Elastic, monkeypatch: Any) -> None:
    def die(*_: Any) -> None:
        raise Killed

    lab.publish(hashes(12))
    with monkeypatch.context() as patch:
        patch.setattr(lab.deliverer, "_note_sent", die)
        with pytest.raises(Killed):
            lab.deliverer.cycle()
    assert len(elastic.docs()) == 12
    lab.restart().cycle()
    assert len(elastic.indices["threat-intel"]) == 12
    assert {receipt.state for receipt in lab.receipts().values()} == {"accepted"}


def test_a_batch_that_is_too_large_is_parted(lab: Bench, elastic: Elastic) -> None:
    lab.publish([{"value": value, "description": "x" * 200_000} for value in hashes(12)])
    assert lab.deliverer.cycle().accepted == 12  # 2.4 MB; the server takes 1 MB
    assert len(elastic.docs()) == 12


def test_reconcile_finds_what_differs_and_mends_it(lab: Bench, elastic: Elastic) -> None:
    values = hashes(2100)  # three pages
    lab.publish(values)
    lab.deliverer.cycle()
    assert reconcile(lab.deliverer).state == "clean"
    docs = elastic.indices["threat-intel"]
    lab.advance(minutes=5)
    gone, changed, *_ = docs
    del docs[gone]
    docs[changed]["labels"]["digest"] = "0"
    extra = json.loads(json.dumps(docs[changed]))
    extra["labels"] |= {"key": "f" * 32, "value": "nobody.com"}
    extra["event"]["id"] = "zz"
    docs["zz"] = extra
    docs["theirs"] = {**extra, "event": {**extra["event"], "provider": "other", "id": "theirs"}}
    report = reconcile(lab.deliverer, fix=True)
    assert (report.missing.count, report.different.count, report.extra.count) == (1, 1, 1)
    lab.deliverer.cycle()
    assert sorted(value for value in elastic.docs() if value != "nobody.com") == sorted(values)
    assert "theirs" in docs
    assert "zz" not in docs
    assert reconcile(lab.deliverer).state == "clean"


def test_another_index_takes_the_old_copies_back_from_where_they_are_told(lab: Bench, elastic: Elastic) -> None:
    lab.publish(["bad.com"])
    lab.deliverer.cycle()
    lab.restart(values={"index": "other"})
    assert lab.deliverer.cycle().accepted == 1
    assert list(elastic.docs("other")) == ["bad.com"]


def test_a_wrong_key_is_said_and_not_shown(elastic: Elastic, waited: list[float]) -> None:
    with bench(Http, template="elasticsearch", url=elastic.url, token="wrong-key-of-the-test") as lab:
        lab.publish(["bad.com"])
        report = lab.deliverer.cycle()
        assert report.state == "failing"
        assert "check the sign-in" in report.message
        shown = str(lab.deliverer.preview(5)) + repr(lab.deliverer.kind.settings) + report.message
        assert "wrong-key-of-the-test" not in shown
        (check,) = lab.deliverer.far.probe()
        assert not check.ok


def test_try_delivery_shows_requests_and_makes_none(lab: Bench, elastic: Elastic) -> None:
    lab.publish(["bad.com", *hashes(50)])
    shown = lab.deliverer.preview(3)
    assert (shown["published"], len(elastic.log)) == (51, 0)
    assert [text.splitlines()[0] for text in shown["requests"]] == [
        f"PUT {elastic.url}/threat-intel", f"POST {elastic.url}/_bulk",
    ]  # fmt: skip
    assert "Authorization: ***" in shown["requests"][1]
    assert shown["requests"][1].count('"index":') == 3
    assert '"delete":' in shown["withdrawals"][0]


def test_splunk_events(hec_lab: Bench, hec: Hec) -> None:
    hec_lab.publish(["bad.com", {"value": "8.8.8.8", "confidence": 90}])
    hec_lab.deliverer.cycle()
    hec_lab.publish([{"value": "8.8.8.8", "confidence": 20}])
    hec_lab.deliverer.cycle()
    assert {value: event["confidence"] for value, event in hec.newest().items()} == {"8.8.8.8": 20}
    assert {(each["index"], each["sourcetype"], each["source"]) for each in hec.indexed} == {
        ("threat", "tipline:indicator", "tipline:http")
    }
    assert [each["event"]["action"] for each in hec.indexed[2:]] == ["remove", "change"]
    assert [check.ok for check in hec_lab.deliverer.far.probe()] == [True]


def test_splunk_that_is_busy_or_cut_off(hec_lab: Bench, hec: Hec) -> None:
    hec.faults = [refuse(503, {"text": "Server is busy", "code": 9}), lost(hec)]
    hec_lab.publish(hashes(5))
    assert hec_lab.deliverer.cycle().accepted == 5
    assert len(hec.newest()) == 5
    # An index takes events twice; their numbers tell.
    assert (len(hec.indexed), len({each["event"]["event_id"] for each in hec.indexed})) == (10, 5)


def test_splunk_says_when_events_are_indexed(hec_lab: Bench, hec: Hec, waited: list[float]) -> None:
    """A token with indexer acknowledgement: a receipt means that the event can be searched for."""
    hec.slow = 3
    hec_lab.publish(hashes(4))
    report = hec_lab.deliverer.cycle()
    assert (report.state, report.errors, report.accepted, len(hec.newest())) == ("ok", {}, 4, 4)
    assert waited.count(1.0) >= 3
    acks = [asked for asked in hec.log if "/services/collector/ack" in asked.path]
    channels = {asked.headers.get("x-splunk-request-channel") for asked in hec.log if "/event" in asked.path}
    assert {asked.query["channel"] for asked in acks} == channels
    assert len(channels) == 1


def test_splunk_that_never_indexes_is_no_success(hec_lab: Bench, hec: Hec) -> None:
    hec.slow = 1_000_000
    hec_lab.publish(hashes(4))
    report = hec_lab.deliverer.cycle()
    assert (report.state, report.accepted) == ("failing", 0)
    assert "has not said for 60 s" in report.message
    hec.slow = None
    hec_lab.deliverer.cycle()
    assert len(hec.newest()) == 4


@pytest.mark.parametrize("parse_first", [True, False])
def test_splunk_refuses_one_event(hec_lab: Bench, hec: Hec, parse_first: bool) -> None:
    hec.parse_first = parse_first
    hec_lab.publish([*hashes(20), "poison.com"])
    report = hec_lab.deliverer.cycle()
    assert (report.accepted, report.errors) == (20, {hec_lab.receipts()["poison.com"].reason: 1})
    assert len(hec.newest()) == 20
    assert len({each["event"]["event_id"] for each in hec.indexed}) == 20


def test_a_lookup_in_splunk(store: KvStore, waited: list[float]) -> None:
    with bench(Http, template="splunk-kvstore", url=store.url, bearer=TOKEN, values={"app": "a b/c"}) as lab:
        lab.publish(hashes(1100))
        lab.deliverer.cycle()
        assert len(store.records) == 1100
        assert reconcile(lab.deliverer).state == "clean"
        store.faults = [lost(store)]
        lab.publish(hashes(3))
        lab.deliverer.cycle()
        assert {each["indicator"] for each in store.records.values()} == set(hashes(3))
        assert reconcile(lab.deliverer).state == "clean"
        assert "/a%20b%2Fc/" in lab.deliverer.preview(1)["requests"][0]


OWN = {
    "sign_in": {"header": "X-Key", "prefix": ""},
    "limits": [{"calls": 2, "seconds": 5}],
    "send": {
        "path": "/v1/iocs",
        "body": {"list": "{{tipline}}", "iocs": "{items}"},
        "item": {"ioc": "{value}", "kind": "{type}", "until": "{expires}", "score": "{confidence}",
                 "note": "n: {tags}"},
        "batch": 2,
        "answer": {"items": "results", "ok": "status == 'ok'", "id": "id", "reason": "message"},
    },
    "remove": {"method": "DELETE", "path": "/v1/iocs/{far_id}", "layout": "single", "answer": {"accept": [404]}},
}  # fmt: skip


class Product(Server):
    """Something nobody has heard of; it gives its own identifiers."""

    def __init__(self) -> None:
        super().__init__()
        self.iocs: dict[str, dict[str, Any]] = {}

    def answer(self, asked: Asked) -> Said:
        assert asked.headers["x-key"] == "k-123"
        if asked.method == "DELETE":
            return Said(204 if self.iocs.pop(asked.path.rpartition("/")[2], None) else 404)
        body = asked.json()
        assert body["list"] == "{tipline}"
        results = []
        for ioc in body["iocs"]:
            name = f"ioc-{len(self.iocs)}"
            self.iocs[name] = ioc
            results.append({"status": "ok", "id": name})
        return Said(200, {"results": results})


def test_a_template_of_ones_own(waited: list[float]) -> None:
    hostile = '"}],"admin":true,"x":[{"{value}'
    with Product() as product, bench(Http, definition=OWN, url=product.url, token="k-123", lifetime="3d") as lab:
        lab.publish([{"value": "bad.com", "tags": [hostile]}, "worse.com", "worst.com", "8.8.8.0/24"])
        assert lab.deliverer.cycle().accepted == 4
        assert {ioc["ioc"] for ioc in product.iocs.values()} == lab.published()
        assert next(ioc["note"] for ioc in product.iocs.values() if ioc["ioc"] == "bad.com") == f"n: {hostile}"
        assert all(set(ioc) == {"ioc", "kind", "until", "score", "note"} for ioc in product.iocs.values())
        assert lab.receipts()["bad.com"].far_id in product.iocs
        lab.advance(days=2)
        lab.deliverer.cycle()
        assert lab.receipts()["bad.com"].expires is not None
        lab.publish([])
        lab.deliverer.cycle()
        assert lab.receipts() == {}


def test_an_answer_of_another_length_is_no_receipt(waited: list[float]) -> None:
    with Product() as product, bench(Http, definition=OWN, url=product.url, token="k-123") as lab:
        product.faults = [refuse(200, {"results": []})]
        lab.publish(["bad.com"])
        report = lab.deliverer.cycle()
        assert "0 results for 1 items" in report.message
        assert lab.receipts()["bad.com"].holds == "perhaps"


def test_a_listing_without_an_end_is_given_up(waited: list[float]) -> None:
    listing = {"method": "GET", "path": "/v1/iocs", "query": {"from": "{offset}"}, "items": "iocs", "id": "id",
               "key": "key", "type": "kind", "value": "ioc"}  # fmt: skip
    with Server() as product, bench(Http, definition={**OWN, "listing": listing}, url=product.url, token="k") as lab:
        page = Said(200, {"iocs": [{"id": "1", "key": "0" * 32, "kind": "domain", "ioc": "bad.com"}]})
        product.faults = [lambda _: page] * 5
        with pytest.raises(FarSideError, match="the same page"):
            list(lab.deliverer.far.listing(lab.now()) or ())
        assert [asked.query["from"] for asked in product.log] == ["0", "1"]


def test_the_path_is_filled_in_as_a_text_is() -> None:
    template = Template.model_validate({**OWN, "values": {"space": None}, "send": {"path": "/{space}/a b/{value}"}})
    calls = BatchCalls(template.send, "https://x.example/", template.names())
    assert calls.request({"value": "a/b"}, b"{}", "text/plain").url == "https://x.example//a%20b/a%2Fb"
    assert calls.request({"value": "a"}, b"{}", "text/plain").headers == {"Content-Type": "text/plain"}


def test_filling_keeps_structure_and_types() -> None:
    fill = filling({"a": "{n}", "b": ["{missing}", "{list}"], "c": "{{x}} {list}", "d": {"e": "{missing}"}},
                   {"n", "list", "missing"})  # fmt: skip
    assert fill({"n": 7, "list": ["p", "q"]}) == {"a": 7, "b": [["p", "q"]], "c": "{x} p, q"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"send": {"item": {"x": "{nope}"}}}, "there is no {nope}"),
        ({"send": {"item": {"x": "{value"}}}, "single {"),
        ({"send": {"item": {"x": "{value ||}"}}}, "no JMESPath"),
        ({"send": {"answer": {"ok": "status <"}}}, "no JMESPath"),
        ({"types": ["ipv5"]}, "there is no ipv5"),
        ({"send": {"item": {"x": "{__class__}"}}}, "there is no"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_template_is_checked(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Template.model_validate({"send": {}, "remove": {}, **change})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "one of template and definition"),
        ({"template": "elastic"}, "did you mean elasticsearch"),
        ({"template": "elasticsearch", "values": {"indx": "x"}}, "has no indx"),
    ],
)
def test_wrong_settings(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        HttpKindSettings.model_validate({"kind": "http", "inputs": ["x"], **values})


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_templates_say_what_they_are_for(name: str) -> None:
    assert len(shipped()[name].description) > 80
