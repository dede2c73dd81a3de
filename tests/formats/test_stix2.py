"""STIX 2 objects: versions, markings, relationships, observables, and the documents that hold them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.errors import FormatError
from tipline.formats.base import Context
from tipline.formats.stix2 import Reading, Stix2Settings, read
from tipline.formats.stixstream import Objects
from tipline.model.normalise import conform

DATA = Path(__file__).parents[1] / "data" / "stix"
AMBER = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
GREEN = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
MALWARE = {"type": "malware", "id": "malware--1", "name": "Ivy"}


def indicator(identity: str = "indicator--1", value: str = "a.com", **more: Any) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": identity,
        "created": "2024-01-01T00:00:00.000Z",
        "modified": "2024-01-01T00:00:00.000Z",
        "pattern": f"[domain-name:value = '{value}']",
        "pattern_type": "stix",
        "valid_from": "2024-01-01T00:00:00Z",
        **more,
    }


def indicates(target: str, source: str = "indicator--1", **more: Any) -> dict[str, Any]:
    return {
        "type": "relationship",
        "id": "relationship--1",
        "relationship_type": "indicates",
        "source_ref": source,
        "target_ref": target,
        **more,
    }


def rows(path: Path, **options: Any) -> list[dict[str, Any]]:
    frames = list(read(path, Stix2Settings(**options), Context("feed")))
    return [row for frame in frames for row in frame.to_dicts()]


def written(tmp_path: Path, *objects: Any, **options: Any) -> list[dict[str, Any]]:
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps({"type": "bundle", "id": "bundle--1", "objects": list(objects)}))
    return rows(path, **options)


def one(tmp_path: Path, **more: Any) -> dict[str, Any]:
    (row,) = written(tmp_path, indicator(**more))
    return row


def test_an_indicator_with_everything(tmp_path: Path) -> None:
    row, *_ = written(
        tmp_path,
        indicator(
            name="Bad host",
            description="Seen in phishing.",
            confidence=70,
            indicator_types=["malicious-activity"],
            labels=["phish"],
            valid_until="2024-03-01T00:00:00Z",
            kill_chain_phases=[{"kill_chain_name": "mitre-attack", "phase_name": "delivery"}],
            external_references=[{"source_name": "x", "url": "https://x.org/1"}, {"external_id": "CAPEC-98"}],
            object_marking_refs=[GREEN],
        ),
        indicates("malware--1"),
        MALWARE,
    )
    assert row == {
        "value": "a.com",
        "type": "domain",
        "drop": None,
        "record": "indicator--1",
        "confidence": "70",
        "actionable": None,
        "tlp": "green",
        "threat_types": ["malicious-activity"],
        "tags": ["phish", "mitre-attack:delivery", "Ivy"],
        "description": "Bad host: Seen in phishing.",
        "references": ["https://x.org/1", "CAPEC-98"],
        "first_seen": "2024-01-01T00:00:00Z",
        "last_seen": None,
        "valid_until": "2024-03-01T00:00:00Z",
    }


def test_labels_of_2_0_are_threat_types(tmp_path: Path) -> None:
    row = one(tmp_path, labels=["malicious-activity", "phish"])
    assert (row["threat_types"], row["tags"]) == (["malicious-activity"], ["phish"])


def test_what_is_benign_or_not_to_be_acted_on_is_not_actionable(tmp_path: Path) -> None:
    assert one(tmp_path, indicator_types=["benign"])["actionable"] == "false"
    assert one(tmp_path, indicator_types=["benign", "malicious-activity"])["actionable"] is None
    row = one(tmp_path, labels=['misp:to_ids="False"'])
    assert conform(written_frame(tmp_path))["actionable"].to_list() == [False]
    assert row["tags"] is None


def written_frame(tmp_path: Path) -> Any:
    return next(read(tmp_path / "bundle.json", Stix2Settings(), Context()))


@pytest.mark.parametrize(
    ("marking", "level"),
    [
        ({"definition_type": "tlp", "definition": {"tlp": "red"}}, "red"),
        (
            {"extensions": {"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d": {"tlp_2_0": "amber+strict"}}},
            "amber+strict",
        ),
        ({"name": "TLP:CLEAR"}, "clear"),
        ({"definition_type": "statement", "definition": {"statement": "Copyright"}}, None),
    ],
)
def test_markings_of_the_bundle(tmp_path: Path, marking: dict[str, Any], level: str | None) -> None:
    ours = {"type": "marking-definition", "id": "marking-definition--ours", **marking}
    row, *_ = written(tmp_path, indicator(object_marking_refs=["marking-definition--ours"]), ours)
    assert row["tlp"] == level


def test_the_most_restrictive_marking_counts(tmp_path: Path) -> None:
    granular = [{"marking_ref": AMBER, "selectors": ["description"]}]
    assert one(tmp_path, object_marking_refs=[GREEN], granular_markings=granular)["tlp"] == "amber"
    assert one(tmp_path, object_marking_refs=[GREEN], labels=["tlp:red"])["tlp"] == "red"


def test_revoked_and_other_languages_have_a_reason(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        indicator("indicator--1", revoked=True),
        indicator("indicator--2", pattern_type="yara", pattern="rule x {}"),
        {"type": "indicator", "id": "indicator--3"},
    )
    assert [(row["record"], row["drop"]) for row in found] == [
        ("indicator--1", "revoked"),
        ("indicator--2", "unsupported-pattern"),
        ("indicator--3", "bad-pattern"),
    ]


def test_the_latest_version_of_an_object_wins_wherever_it_stands(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        indicator(value="new.com", modified="2024-02-01T00:00:00.5Z"),
        indicator(value="old.com", modified="2024-02-01T00:00:00Z"),
        indicator("indicator--2"),
        indicator("indicator--2", revoked=True),
    )
    assert [(row["value"], row["drop"]) for row in found[:1]] == [("new.com", None)]
    assert [row["drop"] for row in found] == [None, "superseded", "superseded", "revoked"]


def test_two_objects_with_one_id_and_one_time_both_stay(tmp_path: Path) -> None:
    found = written(tmp_path, indicator(value="a.com"), indicator(value="b.com"))
    assert [(row["value"], row["drop"]) for row in found] == [("a.com", None), ("b.com", None)]


def test_relationships_that_are_revoked_or_lead_nowhere_give_no_tags(tmp_path: Path) -> None:
    found = written(tmp_path, MALWARE, indicator(), indicates("malware--1", revoked=True), indicates("malware--2"))
    assert found[0]["tags"] is None


def test_techniques_bring_their_number(tmp_path: Path) -> None:
    technique = {
        "type": "attack-pattern",
        "id": "attack-pattern--1",
        "name": "Phishing",
        "external_references": [{"source_name": "mitre-attack", "external_id": "T1566"}],
    }
    assert written(tmp_path, indicator(), technique, indicates("attack-pattern--1"))[0]["tags"] == [
        "Phishing",
        "T1566",
    ]


def test_observables_are_taken_where_asked_for_and_not_actionable(tmp_path: Path) -> None:
    objects = [
        {"type": "ipv4-addr", "id": "ipv4-addr--1", "value": "203.0.113.7"},
        {
            "type": "file",
            "id": "file--1",
            "name": "x.exe",
            "hashes": {"MD5": "a", "SHA-256": "b", "TLSH": "c"},
        },
        {"type": "file", "id": "file--2", "name": "y.exe"},
        {
            "type": "observed-data",
            "id": "observed-data--1",
            "modified": "2024-01-01T00:00:00Z",
            "first_observed": "2024-01-01T00:00:00Z",
            "objects": {
                "0": {"type": "domain-name", "value": "c.com"},
                "1": {"type": "software", "name": "s"},
            },
        },
    ]
    assert written(tmp_path, *objects) == []
    found = written(tmp_path, *objects, observables=True)
    assert [(row["record"], row["type"], row["value"]) for row in found] == [
        ("ipv4-addr--1", "ip", "203.0.113.7"),
        ("file--1", "md5", "a"),
        ("file--1", "sha256", "b"),
        ("file--2", "file-name", "y.exe"),
        ("observed-data--1", "domain", "c.com"),
    ]
    assert {row["actionable"] for row in found} == {"false"}
    assert found[-1]["first_seen"] == "2024-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "text",
    [
        '{"objects": [OBJ], "type": "bundle", "id": "bundle--1"}',
        '{"x": {"objects": [1, {"objects": []}]}, "more": true, "objects" : [OBJ]}',
        "\ufeff[OBJ]",
        '[{"type": "bundle", "objects": [OBJ]}]',
        "OBJ",
        "OBJ\nOBJ2",
        '{"type": "bundle",\n "objects": [OBJ\n,\n]}'.replace(",\n]", "\n]"),
    ],
)
def test_documents_of_every_shape(tmp_path: Path, text: str) -> None:
    path = tmp_path / "document"
    first, second = json.dumps(indicator()), json.dumps(indicator("indicator--2"))
    path.write_text(text.replace("OBJ2", second).replace("OBJ", first))
    assert {row["value"] for row in rows(path)} == {"a.com"}


def test_members_of_an_envelope_are_given_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "envelope"
    path.write_text(json.dumps({"more": True, "objects": [indicator()], "next": "7"}))
    members = Reading(Stix2Settings(), Context()).add(path)
    assert (members["more"], members["next"], members["count"]) == (True, "7", 1)


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "bundle", "objects": [{"type": "indicator"}',
        '{"type": "bundle", "objects": [{"type": "indicator"}]',
        '{"type": "bundle", "objects": [{"type": "indicator"}]} {',
        "[1, 2]",
        '[{"a": 1}]',
        '{"Event": {"info": "a MISP event"}}',
        "not JSON",
        "<html>",
        '{"a": ',
    ],
)
def test_what_is_not_stix_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "document"
    path.write_text(text)
    with pytest.raises(FormatError, match="feed"):
        rows(path)


def test_an_empty_file_and_an_empty_envelope_hold_nothing(tmp_path: Path) -> None:
    for text in ("", "{}", '{"more": false}', '{"objects": []}'):
        path = tmp_path / "document"
        path.write_text(text)
        assert rows(path) == []


def test_one_broken_object_never_stops_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(f'{{"objects": [{{"type": broken}}, 7, {json.dumps(indicator())}, null]}}')
    assert [(row["value"], row["drop"]) for row in rows(path)] == [
        ('{"type": broken}', "bad-row"),
        ("7", "bad-row"),
        ("a.com", None),
        ("null", "bad-row"),
    ]


def test_halves_of_surrogate_pairs_do_no_harm(tmp_path: Path) -> None:
    row = one(tmp_path, description="bad \ud800 text")
    assert row["description"] == "bad ? text"


def test_oracle_of_a_publisher() -> None:
    """Amnesty's bundle holds the domains and paths of the lists beside it."""
    frames = list(read(DATA / "amnesty-cytrox" / "cytrox.stix2", Stix2Settings(), Context()))
    found = frames[0].to_dicts()
    lines = (DATA / "amnesty-cytrox" / "domains.txt").read_text().split()
    assert {row["value"] for row in found if row["type"] == "domain"} == set(lines)
    paths = (DATA / "amnesty-cytrox" / "file_paths.txt").read_text().split()
    assert {row["value"] for row in found if row["type"] == "file-path"} == set(paths)
    assert {tuple(row["tags"]) for row in found} == {("Predator",)}


def test_oracle_of_tweetfeed() -> None:
    found = rows(DATA / "tweetfeed" / "today.json")
    told = json.loads((DATA / "tweetfeed" / "manifest.json").read_text())["bundles"]["today"]["indicator_count"]
    assert (len(found), {row["drop"] for row in found}, {row["tlp"] for row in found}) == (
        told,
        {None},
        {"clear"},
    )


@pytest.mark.parametrize("version", ["stix20", "stix21"])
def test_oracle_of_misp(version: str) -> None:
    found = rows(DATA / "misp-stix" / f"test_objects_collection_{version}.json")
    assert [(row["type"], row["drop"]) for row in found] == [
        ("email", None),
        ("md5", None),
        ("sha1", None),
        ("sha256", None),
        (None, "composite-pattern"),
    ]


def test_every_fixture_is_read_or_refused_in_words() -> None:
    read_whole = 0
    for path in sorted(DATA.rglob("*.json")):
        with suppress(FormatError):
            frames = read(path, Stix2Settings(observables=True), Context(path.name))
            read_whole += bool([conform(frame) for frame in frames])
    assert read_whole > 50


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "id",
    "pattern",
    "pattern_type",
    "labels",
    "indicator_types",
    "kill_chain_phases",
    "external_references",
    "created",
    "object_marking_refs",
    "granular_markings",
    "name",
    "description",
    "confidence",
    "revoked",
    "modified",
    "valid_from",
    "objects",
    "hashes",
    "value",
    "definition",
    "extensions",
    "source_ref",
    "target_ref",
    "relationship_type",
)
TYPES = (
    "indicator",
    "malware",
    "relationship",
    "marking-definition",
    "observed-data",
    "file",
    "bundle",
    "ipv4-addr",
)
OBJECTS = st.builds(
    lambda kind, members: {"type": kind, **members},
    st.sampled_from(TYPES) | JSON,
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["indicator--1", "x", True, []]) | JSON, max_size=8),
)


@given(st.lists(OBJECTS, max_size=8))
@settings(max_examples=150, deadline=None)
def test_hostile_members_give_rows_or_nothing(tmp_path_factory: pytest.TempPathFactory, objects: list[Any]) -> None:
    path = tmp_path_factory.mktemp("hostile") / "bundle.json"
    path.write_text(json.dumps({"type": "bundle", "objects": [indicator("indicator--0"), *objects]}))
    found = [conform(frame) for frame in read(path, Stix2Settings(observables=True), Context())]
    assert sum(frame.height for frame in found) >= 1


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ objectstype1', max_size=200).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_hostile_bytes_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.mktemp("hostile") / "bytes"
    path.write_bytes(text)
    with suppress(FormatError):
        list(Objects(path, Context("feed")))
