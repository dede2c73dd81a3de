"""TAXII collections: settings, and every object as STIX 2.1 and 2.0 by the OASIS validator."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from stix2validator import ValidationOptions, validate_instance

from tipline.model.tlp import GREEN
from tipline.outputs.taxii import TaxiiKind, TaxiiSettings
from tipline.outputs.taxii_objects import Maker, Row, version_of

SINCE = datetime.fromisoformat("2026-01-01T12:00:00.123456")
VALUES = [
    ("ipv4", "198.51.100.7"),
    ("ipv4", "198.51.100.0/24"),
    ("ipv6", "2001:db8::/32"),
    ("domain", "a.example"),
    ("url", "http://a.example/It's?q=\\x"),
    ("email", "bob@a.example"),
    ("md5", "d" * 32),
    ("sha1", "a" * 40),
    ("sha256", "a" * 64),
    ("sha512", "a" * 128),
    ("ssdeep", "3:AXGBic:AXGH"),
    ("file-name", "a.exe"),
    ("file-path", r"C:\Temp\a.exe"),
    ("registry-key", r"HKLM\Run\x"),
    ("mutex", r"Global\m"),
    ("user-agent", "Mozilla/4.0"),
    ("command-line", "cmd /c 'x'"),
    ("asn", "AS64500"),
    ("certificate-sha1", "a" * 40),
]


def output(**settings: Any) -> TaxiiKind:
    return TaxiiKind("x", TaxiiSettings.model_validate({"kind": "taxii", "inputs": "none", **settings}))


def row(type_: str = "domain", value: str = "a.example", **more: Any) -> Row:
    given = {
        "seq": 1,
        "stamp": SINCE + timedelta(days=1),
        "id": uuid.uuid5(uuid.NAMESPACE_URL, value),
        "type": type_,
        "value": value,
        "since": SINCE,
        "removed": False,
        "confidence": 70,
        "tlp": 1,
        "threat_types": None,
        "tags": ["b", "a"],
        "description": "A thing",
        "refs": ["https://a.example/report"],
        "valid_until": SINCE + timedelta(days=9),
    }
    return Row(**{**given, **more})


def errors(content: dict[str, Any], version: str) -> list[str]:
    found = validate_instance(content, ValidationOptions(version=version, strict=False))
    return [str(each) for each in found.errors]


@pytest.mark.parametrize("spec", ["2.1", "2.0"])
@pytest.mark.parametrize(("type_", "value"), VALUES)
def test_an_indicator_of_each_type_is_valid(type_: str, value: str, spec: Any) -> None:
    for more in (
        {},
        {"removed": True},
        {"tags": None, "description": None, "refs": None, "valid_until": None},
    ):
        content = Maker(output(max_tlp="red", access="key", keys=["a-key-that-is-long-enough"]), "lab").indicator(
            row(type_, value, **more), spec
        )
        assert errors(content, spec) == []


def test_every_type_that_it_carries_is_tried() -> None:
    assert {type_ for type_, _ in VALUES} == TaxiiKind.types


@pytest.mark.parametrize("spec", ["2.1", "2.0"])
def test_what_indicators_refer_to_is_valid_and_there(spec: Any) -> None:
    maker = Maker(output(max_tlp="red", access="key", keys=["a-key-that-is-long-enough"]), "lab")
    fixed = maker.fixed(spec)
    assert [errors(each, spec) for each in fixed] == [[] for _ in fixed]
    assert all(version_of(each) for each in fixed)
    known = {each["id"] for each in fixed}
    for level in range(5):
        content = maker.indicator(row(tlp=level), spec)
        assert {*content["object_marking_refs"], content["created_by_ref"]} <= known
    bundle = {"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": fixed}
    assert errors({**bundle, **({"spec_version": "2.0"} if spec == "2.0" else {})}, spec) == []


def test_markings_above_the_collection_are_left_out() -> None:
    assert [each["type"] for each in Maker(output(), "lab").fixed("2.1")] == [
        "identity",
        "marking-definition",
    ]
    assert len(Maker(output(max_tlp="amber"), "lab").fixed("2.1")) == 4


def test_2_0_says_in_labels_what_2_1_says_in_types() -> None:
    content = Maker(output(max_tlp="red", access="key", keys=["a-key-that-is-long-enough"]), "lab").indicator(
        row(threat_types=["phishing"]), "2.0"
    )
    assert content["labels"] == ["phishing", "a", "b"]
    assert not {"spec_version", "pattern_type", "confidence", "indicator_types"} & set(content)


def test_an_end_of_its_own_is_kept_and_a_lifetime_gives_one() -> None:
    plain, with_lifetime = Maker(output(), "lab"), Maker(output(lifetime="30d"), "lab")
    assert "valid_until" not in plain.indicator(row(valid_until=None), "2.1")
    assert plain.indicator(row(), "2.1")["valid_until"] == "2026-01-10T12:00:00.123Z"
    assert with_lifetime.indicator(row(), "2.1")["valid_until"] == "2026-01-10T12:00:00.123Z"
    assert with_lifetime.indicator(row(valid_until=None), "2.1")["valid_until"] == "2026-02-01T12:00:00.123Z"


def test_identifiers_hold_for_ever() -> None:
    """Readers know collections by their identifier: it may never change."""
    assert output().collection_id("lab") == "87c9d535-38c4-57f9-a613-1ea09b311e57"
    assert output().collection_id("lab") != output().collection_id("other")


def test_settings() -> None:
    assert output(access="key", keys=["0123456789abcdef"]).settings.max_tlp == GREEN
    for wrong in (
        {"access": "key"},
        {"keys": ["0123456789abcdef"]},
        {"indicator_types": []},
        {"keep_removed": "7"},
    ):
        with pytest.raises(ValidationError):
            output(**wrong)
