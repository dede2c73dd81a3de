"""MISP events to raw frames: attributes, objects, tags, what is inherited, and every shape of answer."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipline.errors import FormatError
from tipline.formats import misp_events
from tipline.formats.base import Context
from tipline.formats.misp import MispSettings, read
from tipline.formats.misp_events import COLUMNS, Rows
from tipline.model.normalise import conform

DATA = Path(__file__).parents[1] / "data" / "misp-feed"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"
EVENT = "181b5be4-a1f6-53a4-8436-4d4cd3e272a3"
ONE = "d1521ed9-9507-5200-b1cf-740b594ec04a"


def frame(document: Any, tmp_path: Path, **settings: Any) -> pl.DataFrame:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(document))
    found = list(read(path, MispSettings(**settings), Context(feed="feed")))
    return pl.concat(found) if found else pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))


def claims(document: Any, tmp_path: Path, **settings: Any) -> list[dict[str, Any]]:
    return conform(frame(document, tmp_path, **settings)).to_dicts()


def event(*attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Event": {"uuid": EVENT, "info": "Emotet wave", "Attribute": list(attributes), **more}}


def attribute(value: str = "a.com", kind: str = "domain", **more: Any) -> dict[str, Any]:
    return {"uuid": ONE, "type": kind, "value": value, "to_ids": True, **more}


def tagged(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "colour": "#fff", **more} for name in names]


def test_an_attribute_becomes_a_claim(tmp_path: Path) -> None:
    given_event = event(
        attribute(comment="seen at a client", category="Network activity", timestamp="1784461860", distribution="5"),
        date="2026-07-19",
        threat_level_id="1",
        analysis="2",
        distribution=3,
        Orgc={"name": "ACME", "uuid": "x"},
        Tag=tagged("tlp:green", "osint"),
    )
    (claim,) = claims(given_event, tmp_path)
    assert claim["record"] == f"{EVENT}/{ONE}"
    assert (claim["type"], claim["value"], claim["actionable"], claim["tlp"]) == ("domain", "a.com", True, 1)
    assert claim["tags"] == ["osint"]
    assert claim["description"] == "seen at a client - Emotet wave"
    assert claim["first_seen"] == datetime.fromisoformat("2026-07-19")
    assert claim["last_seen"] == datetime.fromisoformat("2026-07-19T11:51")
    assert json.loads(claim["extra"]) == {
        "event": EVENT,
        "event_info": "Emotet wave",
        "organisation": "ACME",
        "threat_level": "high",
        "analysis": "completed",
        "category": "Network activity",
        "distribution": 3,
    }


def test_its_own_times_stand_before_those_around_it(tmp_path: Path) -> None:
    (claim,) = claims(
        event(attribute(first_seen="2026-01-02T00:00:00.000000+00:00", last_seen="2026-01-03T00:00:00+00:00")),
        tmp_path,
    )
    assert (claim["first_seen"], claim["last_seen"]) == (
        datetime.fromisoformat("2026-01-02"),
        datetime.fromisoformat("2026-01-03"),
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("ip-dst|port", "45.1.2.3|443", [("ipv4", "45.1.2.3", {"port": "443"})]),
        ("ip-src|port", "2a00:1::7|22", [("ipv6", "2a00:1::7", {"port": "22"})]),
        ("hostname|port", "www.a.com|8080", [("domain", "www.a.com", {"port": "8080"})]),
        (
            "domain|ip",
            "a.com|45.1.2.3",
            [("domain", "a.com", {"ip": "45.1.2.3"}), ("ipv4", "45.1.2.3", {"domain": "a.com"})],
        ),
        (
            "filename|md5",
            "a|b.exe|" + MD5,
            [("file-name", None, None), ("md5", MD5, {"filename": "a|b.exe"})],
        ),
        (
            "malware-sample",
            "x.exe|" + MD5,
            [("file-name", "x.exe", {"md5": MD5}), ("md5", MD5, {"filename": "x.exe"})],
        ),
        ("filename|md5", MD5, [("md5", MD5, {})]),
        (
            "regkey|value",
            "HKLM\\Software\\Run|x.exe",
            [("registry-key", "HKEY_LOCAL_MACHINE\\Software\\Run", {"data": "x.exe"})],
        ),
        ("filename", "C:\\Windows\\evil.exe", [("file-path", "C:\\Windows\\evil.exe", {})]),
        ("AS", "AS64500", [("asn", "AS64500", {})]),
        ("vulnerability", "cve-2021-44228", [("cve", "CVE-2021-44228", {})]),
    ],
)
def test_a_composite_gives_its_parts(
    kind: str, value: str, expected: list[tuple[str, str | None, dict[str, str] | None]], tmp_path: Path
) -> None:
    found = claims(event(attribute(value, kind)), tmp_path)
    assert len(found) == len(expected)
    for claim, (name, text, beside) in zip(found, expected, strict=True):
        assert claim["type"] == name
        if text is None:
            assert claim["drop"] == "not-a-file-name"
            continue
        assert (claim["value"], claim["drop"]) == (text, None)
        said = json.loads(claim["extra"])
        assert {key: said[key] for key in said if not key.startswith("event")} == beside


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("comment", "evil.com is evil", "not-an-indicator"),
        ("port", "443", "not-an-indicator"),
        ("link", "https://blog.example.org/emotet", "reference"),
        ("imphash", MD5, "unsupported-type"),
        ("yara", "rule x {}", "unsupported-type"),
        ("a-type-of-tomorrow", "x", "unsupported-type"),
    ],
)
def test_what_is_no_indicator_is_dropped_with_a_reason(kind: str, value: str, reason: str, tmp_path: Path) -> None:
    (claim,) = claims(event(attribute(value, kind)), tmp_path)
    assert claim["drop"] == reason


def test_direction_comes_from_the_type(tmp_path: Path) -> None:
    found = claims(event(attribute("45.1.2.3|1", "ip-src|port"), attribute("45.1.2.4", "ip-dst")), tmp_path)
    assert [claim["direction"] for claim in found] == ["inbound", "outbound"]


@pytest.mark.parametrize(("flag", "expected"), [(True, True), ("1", True), (0, False), ("false", False), (None, None)])
def test_to_ids_in_any_spelling(flag: Any, expected: bool | None, tmp_path: Path) -> None:
    (claim,) = claims(event(attribute(to_ids=flag)), tmp_path)
    assert claim["actionable"] is expected


def test_numbers_may_be_numbers_or_strings(tmp_path: Path) -> None:
    strings = frame(event(attribute(timestamp="1784461860", distribution="1"), analysis="0"), tmp_path)
    numbers = frame(event(attribute(timestamp=1784461860, distribution=1), analysis=0), tmp_path)
    assert strings.equals(numbers)


def test_galaxies_and_taxonomies_are_tags(tmp_path: Path) -> None:
    cluster = {"tag_name": 'misp-galaxy:ransomware="Locky"'}
    galaxy = [{"name": "Ransomware", "GalaxyCluster": [cluster]}]
    (claim,) = claims(event(attribute(Galaxy=galaxy), Tag=tagged('rsit:fraud="phishing"')), tmp_path)
    assert claim["tags"] == ['misp-galaxy:ransomware="Locky"', 'rsit:fraud="phishing"']


@pytest.mark.parametrize(
    ("own", "above", "level"),
    [
        ([], ["tlp:amber"], 2),
        (["tlp:clear"], ["tlp:amber"], 0),
        (["tlp:white", "TLP:RED"], [], 4),
        ([], ["tlp:green", "tlp:amber+strict"], 3),
        (["tlp:ex:chr"], [], None),
        ([], [], None),
    ],
)
def test_tlp_is_the_nearest_and_there_the_strictest(
    own: list[str], above: list[str], level: int | None, tmp_path: Path
) -> None:
    (claim,) = claims(event(attribute(Tag=tagged(*own)), Tag=tagged(*above)), tmp_path)
    assert claim["tlp"] == level


def test_a_tag_that_came_down_from_the_event_does_not_stand_before_it(tmp_path: Path) -> None:
    inherited = [*tagged("tlp:green"), *tagged("tlp:red", inherited=1)]
    (claim,) = claims(event(attribute(Tag=inherited), Tag=tagged("tlp:red")), tmp_path)
    assert claim["tlp"] == 1


def test_confidence_and_threat_types_are_read_out_of_tags(tmp_path: Path) -> None:
    tags = tagged('misp:confidence-level="usually-confident"', "sentinel-threattype:Botnet")
    (claim,) = claims(event(attribute(Tag=tags)), tmp_path)
    assert (claim["confidence"], claim["threat_types"]) == (75, ["Botnet"])
    rows = Rows({"Trusted": 90})
    assert not list(rows.event(event(attribute(Tag=tagged("trusted")))["Event"]))
    assert rows.take()["confidence"].to_list() == ["90"]


def test_local_tags_can_be_left_out(tmp_path: Path) -> None:
    given_event = event(attribute(Tag=[*tagged("shared"), *tagged("workflow:draft", local=True)]))
    assert claims(given_event, tmp_path)[0]["tags"] == ["shared", "workflow:draft"]
    assert claims(given_event, tmp_path, local_tags=False)[0]["tags"] == ["shared"]


def test_links_are_references_of_what_is_beside_them(tmp_path: Path) -> None:
    thing = {"name": "file", "Attribute": [attribute("https://vt.example/1", "link"), attribute("b.com")]}
    found = claims(event(attribute(), attribute("https://blog.example/", "link"), Object=[thing]), tmp_path)
    kept = {claim["value"]: claim["references"] for claim in found if claim["drop"] is None}
    assert kept == {
        "a.com": ["https://blog.example/"],
        "b.com": ["https://vt.example/1", "https://blog.example/"],
    }


def test_an_object_hands_down_what_its_attributes_lack(tmp_path: Path) -> None:
    thing = {
        "name": "domain-ip",
        "uuid": "o",
        "comment": "C2",
        "first_seen": "2026-02-01T00:00:00+00:00",
        "Tag": tagged("tlp:red"),
        "Attribute": [attribute(object_relation="domain")],
    }
    (claim,) = claims(event(Object=[thing], date="2026-01-01", Tag=tagged("tlp:green")), tmp_path)
    said = json.loads(claim["extra"])
    assert (said["object"], said["relation"], claim["tlp"]) == ("domain-ip", "domain", 4)
    assert (claim["description"], claim["first_seen"]) == (
        "C2 - Emotet wave",
        datetime.fromisoformat("2026-02-01"),
    )


def test_deleted_attributes_and_objects_are_dropped_with_their_record(tmp_path: Path) -> None:
    thing = {"name": "file", "deleted": "1", "Attribute": [attribute("b.com")]}
    found = frame(event(attribute(deleted=True), attribute("c.com", deleted="0"), Object=[thing]), tmp_path)
    assert found["drop"].to_list() == ["deleted", None, "deleted"]
    assert found["record"][0] == f"{EVENT}/{ONE}"


def test_proposals_are_not_indicators(tmp_path: Path) -> None:
    document = json.loads((DATA / "pymisp" / "mispevent" / "proposals.json").read_text())
    assert frame(document, tmp_path)["value"].to_list() == ["bar.exe"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda e: e,
        lambda e: e["Event"],
        lambda e: [e],
        lambda e: {"response": [e]},
        lambda e: {"response": e},
        lambda e: [e["Event"]],
    ],
)
def test_every_wrapping_of_events(wrap: Any, tmp_path: Path) -> None:
    assert frame(wrap(event(attribute())), tmp_path)["value"].to_list() == ["a.com"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: {"response": {"Attribute": a}},
        lambda a: {"Attribute": a},
        lambda a: a,
        lambda a: {"Attribute": a[0]},
    ],
)
def test_every_wrapping_of_attributes(wrap: Any, tmp_path: Path) -> None:
    found = frame(wrap([attribute(Event={"uuid": EVENT.upper(), "info": "Emotet wave", "id": "3"})]), tmp_path)
    assert found["record"].to_list() == [f"{EVENT}/{ONE}"]
    assert found["description"].to_list() == ["Emotet wave"]


@pytest.mark.parametrize("document", [{}, [], {"response": []}, {"response": {"Attribute": []}}])
def test_nothing_is_nothing(document: Any, tmp_path: Path) -> None:
    assert frame(document, tmp_path).is_empty()


@pytest.mark.parametrize("name", ["stix2.json", "mispevent/galaxy.json"])
def test_other_json_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="neither a MISP event"):
        list(read(DATA / "pymisp" / name, MispSettings(), Context(feed="feed")))


def test_a_broken_file_is_refused_with_its_place() -> None:
    path = DATA / "broken" / "malicious_pypi_packages.misp-event.cut.json"
    with pytest.raises(FormatError, match="feed: the body is not JSON at line 350, column 9"):
        list(read(path, MispSettings(), Context(feed="feed")))


def test_too_large_and_too_deep_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="larger than max_document"):
        frame(event(attribute()), tmp_path, max_document=10)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(FormatError, match="nested too deep"):
        list(read(tmp_path / "deep.json", MispSettings(), Context(feed="feed")))


def test_lone_surrogates_do_not_stop_a_frame(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text(
        '{"Event": {"info": "\\ud800", "Attribute": [{"type": "domain", "value": "a.com"}]}}'
    )
    (found,) = read(tmp_path / "body.json", MispSettings(), Context())
    assert found["description"].to_list() == ["?"]


def test_frames_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misp_events, "BATCH_ROWS", 10)
    path = tmp_path / "body.json"
    path.write_text(json.dumps(event(*(attribute(f"a{n}.com") for n in range(25)))))
    frames = list(read(path, MispSettings(), Context()))
    assert [f.height for f in frames] == [10, 10, 5]
    assert pl.concat(frames)["value"].to_list() == [f"a{n}.com" for n in range(25)]


@pytest.mark.parametrize("path", sorted(DATA.glob("*-*.json")), ids=lambda path: path.stem[:8])
def test_every_attribute_of_real_events_is_accounted_for(path: Path) -> None:
    attributes = json.loads(path.read_text())["Event"]["Attribute"]
    (found,) = read(path, MispSettings(), Context())
    assert {record.partition("/")[2] for record in found["record"]} == {each["uuid"] for each in attributes}
    conform(found)


def test_a_long_event_of_a_real_server() -> None:
    (found,) = read(DATA / "pymisp" / "events" / "long_event.json", MispSettings(), Context())
    drops = conform(found)["drop"].value_counts().sort("count", descending=True).to_dicts()
    assert {row["drop"]: row["count"] for row in drops} == {
        None: 386,
        "reference": 64,
        "unsupported-type": 8,
        "unknown-tld": 2,
        "bad-url": 1,
        "too-long": 1,
    }


KEYS = [
    "uuid",
    "type",
    "value",
    "Tag",
    "name",
    "Attribute",
    "Object",
    "Event",
    "info",
    "Galaxy",
    "GalaxyCluster",
    "to_ids",
    "comment",
    "deleted",
    "Orgc",
    "response",
    "timestamp",
    "distribution",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)


@given(JSON)
def test_no_json_breaks_the_reader(document: Any) -> None:
    from tipline.formats.misp import attributes_in, events_in

    rows = Rows()
    for each in events_in(document):
        list(rows.event(each))
    list(rows.attributes(attributes_in(document)))
    assert rows.take().columns == list(COLUMNS)
