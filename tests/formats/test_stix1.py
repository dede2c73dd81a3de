"""STIX 1: oracles of MineMeld and of the OASIS elevator, conditions, references, and hostile documents."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipline.errors import FormatError
from tipline.formats.base import Context
from tipline.formats.stix1 import Reading, Stix1Settings, read
from tipline.model.reasons import DROP_REASONS

DATA = Path(__file__).parents[1] / "data" / "stix"
HEAD = (
    '<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" xmlns:indicator="http://stix.mitre.org/Indicator-2"'
    ' xmlns:cybox="http://cybox.mitre.org/cybox-2" xmlns:cyboxCommon="http://cybox.mitre.org/common-2"'
    ' xmlns:AddressObj="http://cybox.mitre.org/objects#AddressObject-2" xmlns:URIObj="http://cybox.mitre.org/objects#URIObject-2"'
    ' xmlns:FileObj="http://cybox.mitre.org/objects#FileObject-2" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xmlns:WinRegistryKeyObj="http://cybox.mitre.org/objects#WinRegistryKeyObject-2" xmlns:e="urn:e" id="e:p">'
)


def rows(path: Path, **options: Any) -> list[dict[str, Any]]:
    frames = list(read(path, Stix1Settings(**options), Context("feed")))
    return [row for frame in frames for row in frame.to_dicts()]


def written(tmp_path: Path, inner: str, **options: Any) -> list[dict[str, Any]]:
    path = tmp_path / "package.xml"
    path.write_text(HEAD + inner + "</stix:STIX_Package>")
    return rows(path, **options)


def url(value: str, attributes: str = "") -> str:
    return (
        '<cybox:Object><cybox:Properties xsi:type="URIObj:URIObjectType" type="URL">'
        f"<URIObj:Value {attributes}>{value}</URIObj:Value></cybox:Properties></cybox:Object>"
    )


def indicator(inner: str, identity: str = "e:i", attributes: str = "") -> str:
    return f'<stix:Indicators><stix:Indicator id="{identity}" {attributes}>{inner}</stix:Indicator></stix:Indicators>'


def observed(inner: str, attributes: str = "") -> str:
    return f"<indicator:Observable {attributes}>{inner}</indicator:Observable>"


def said(found: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(row["value"], row["drop"]) for row in found]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 8])
def test_reads_what_minemeld_read(number: int) -> None:
    stem = DATA / "minemeld-taxii-ng" / f"stix_package_{number}"
    expected = json.loads(stem.with_name(stem.name + "_result.json").read_text())
    found = rows(stem.with_suffix(".xml"))

    assert {row["value"] for row in found if not row["drop"]} == {each["indicator"] for each in expected}
    assert {row["tlp"] for row in found} == {
        {"white": "clear"}.get(x["share_level"], x["share_level"]) for x in expected
    }


def test_a_condition_on_many_things_gives_nothing_unless_it_is_to() -> None:
    stem = DATA / "minemeld-taxii-ng" / "stix_package_7"
    expected = {each["indicator"] for each in json.loads(stem.with_name(stem.name + "_result.json").read_text())}

    dropped = rows(stem.with_suffix(".xml"))
    taken = [row for row in rows(stem.with_suffix(".xml"), composites="take") if not row["drop"]]

    assert {row["drop"] for row in dropped} >= {"composite-pattern"}
    assert not [row for row in dropped if not row["drop"]]
    assert {row["value"] for row in taken if row["type"] == "md5"} == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("list-as-string", ["http://example.com/foo/malicious1.html", "http://example.com/foo/malicious2.html"]),
        ("file-hash-reputation", ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]),
        ("hostname", ["mini99.wikipedia.org"]),
        ("socket-address-pattern", ["198.51.100.2"]),
        ("composite", ["219.90.112.203", "202.65.222.45", "026871ea3d6cbbeb90fea6bf2906cc12"]),
        ("marking_information_source", ["1.1.1.4"]),
    ],
)
def test_agrees_with_the_elevator(name: str, expected: list[str]) -> None:
    found = [row["value"] for row in rows(DATA / "stix-elevator" / f"{name}.xml") if not row["drop"]]
    assert set(expected) <= set(found)


@pytest.mark.parametrize("path", sorted(DATA.rglob("*.xml")), ids=lambda path: path.stem)
def test_every_row_has_a_value_and_a_known_reason(path: Path) -> None:
    for row in rows(path):
        assert row["value"]
        assert row["drop"] is None or row["drop"] in DROP_REASONS


def test_markings_of_indicators_and_packages() -> None:
    found = rows(DATA / "stix-elevator" / "141-TLP-marking-structures.xml")
    assert [row["tlp"] for row in found] == ["clear", "green", "amber", "red"]
    assert rows(DATA / "stix-elevator" / "ais-marking-a-n-t.xml")[0]["tlp"] == "amber"


def test_times_confidence_sightings_types_and_names() -> None:
    row = rows(DATA / "stix1" / "STIX_Phishing_Indicator.xml")[-1]
    assert (row["confidence"], row["tlp"], row["valid_until"]) == ("High", "red", "2013-02-01T09:30:47Z")
    assert row["threat_types"] == ["malicious-e-mail"]
    assert rows(DATA / "stix-elevator" / "malware-indicator-for-file-hash.xml")[0]["tags"] == ["Poison Ivy"]
    assert rows(DATA / "stix-elevator" / "sighting.xml")[0]["last_seen"].startswith("2020-03-12")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('condition="Equals"', None),
        ("", None),
        ('condition="Contains"', "wildcard-pattern"),
        ('condition="StartsWith"', "wildcard-pattern"),
        ('condition="DoesNotEqual"', "negated-pattern"),
        ('condition="FitsPattern" pattern_type="Regex"', "regular-expression"),
        ('condition="GreaterThan"', "composite-pattern"),
        ('condition="Equals" apply_condition="NONE"', "negated-pattern"),
    ],
)
def test_conditions(tmp_path: Path, attributes: str, reason: str | None) -> None:
    found = written(tmp_path, indicator(observed(url("http://a.com/", attributes))))
    assert said(found) == [("http://a.com/", reason)]


def test_lists_with_their_delimiters(tmp_path: Path) -> None:
    found = written(tmp_path, indicator(observed(url("http://a.com/##comma## http://b.com/", 'condition="Equals"'))))
    assert [row["value"] for row in found] == ["http://a.com/", "http://b.com/"]
    every = written(tmp_path, indicator(observed(url("http://a.com/##comma##http://b.com/", 'apply_condition="ALL"'))))
    assert {row["drop"] for row in every} == {"composite-pattern"}


def test_ranges_and_registry_hives(tmp_path: Path) -> None:
    address = (
        '<cybox:Object><cybox:Properties xsi:type="AddressObj:AddressObjectType" category="ipv4-addr"><AddressObj:'
        'Address_Value condition="InclusiveBetween">1.2.3.4##comma##1.2.3.9</AddressObj:Address_Value>'
        "</cybox:Properties></cybox:Object>"
    )
    key = (
        '<cybox:Object><cybox:Properties xsi:type="WinRegistryKeyObj:WindowsRegistryKeyObjectType">'
        "<WinRegistryKeyObj:Key>Software\\Evil</WinRegistryKeyObj:Key><WinRegistryKeyObj:Hive>HKEY_CURRENT_USER"
        "</WinRegistryKeyObj:Hive></cybox:Properties></cybox:Object>"
    )
    assert said(written(tmp_path, indicator(observed(address)))) == [("1.2.3.4-1.2.3.9", None)]
    assert said(written(tmp_path, indicator(observed(key)))) == [("HKEY_CURRENT_USER\\Software\\Evil", None)]


def test_negation_of_indicators_and_observables(tmp_path: Path) -> None:
    assert said(written(tmp_path, indicator(observed(url("http://a.com/")), attributes='negate="true"'))) == [
        ("http://a.com/", "negated-pattern")
    ]
    assert said(written(tmp_path, indicator(observed(url("http://a.com/"), 'negate="1"')))) == [
        ("http://a.com/", "negated-pattern")
    ]


def test_observables_alone_count_and_beside_indicators_are_no_verdict(tmp_path: Path) -> None:
    alone = f'<stix:Observables><cybox:Observable id="e:o">{url("http://a.com/")}</cybox:Observable></stix:Observables>'
    assert [row["actionable"] for row in written(tmp_path, alone)] == [None]
    beside = written(tmp_path, alone + indicator(observed(url("http://b.com/"))))
    assert {row["value"]: row["actionable"] for row in beside} == {"http://a.com/": "false", "http://b.com/": None}
    left_out = written(tmp_path, alone, observables=False)
    assert said(left_out) == [("e:o", "unwanted-type")]


def test_references_forward_missing_and_in_circles(tmp_path: Path) -> None:
    listed = (
        f'<stix:Observables><cybox:Observable id="e:o">{url("http://a.com/")}</cybox:Observable></stix:Observables>'
    )
    referring = indicator(observed("", 'idref="e:o"'))
    assert said(written(tmp_path, listed + referring)) == [("http://a.com/", None)]
    assert said(written(tmp_path, referring + listed)) == [("http://a.com/", None)]
    assert said(written(tmp_path, referring)) == [("e:o", "unresolved-reference")]
    circle = "".join(
        f'<stix:Indicator id="e:{a}"><indicator:Composite_Indicator_Expression operator="OR">'
        f'<indicator:Indicator idref="e:{b}"/></indicator:Composite_Indicator_Expression></stix:Indicator>'
        for a, b in ("12", "21")
    )
    found = written(tmp_path, f"<stix:Indicators>{circle}</stix:Indicators>")
    assert {row["drop"] for row in found} == {"bad-pattern"}
    assert {row["record"] for row in found} == {"e:1", "e:2"}


def test_older_versions_are_superseded(tmp_path: Path) -> None:
    both = indicator(observed(url("http://old.com/")), attributes='timestamp="2020-01-01T00:00:00Z"')
    both += indicator(observed(url("http://new.com/")), attributes='timestamp="2021-01-01T00:00:00Z"')
    found = written(tmp_path, both)
    assert said(found) == [("e:i", "superseded"), ("http://new.com/", None)]


def test_what_a_taxii_answer_holds_beside_stix_1_is_accounted_for(tmp_path: Path) -> None:
    def block(binding: str, content: str) -> str:
        return (
            f'<t:Content_Block><t:Content_Binding binding_id="{binding}"/><t:Content>{content}</t:Content>'
            "</t:Content_Block>"
        )

    package = HEAD + indicator(observed(url("http://a.com/"))) + "</stix:STIX_Package>"
    blocks = [
        block("urn:stix.mitre.org:xml:1.1.1", package),
        block("urn:example:report", "<Report>evil.com</Report>"),
        block("urn:stix.mitre.org:xml:1.1.1", HEAD + "</stix:STIX_Package>"),
        block("urn:example:cdata", f"<![CDATA[{package}]]>"),
        "<t:Content_Block/>",
    ]
    path = tmp_path / "answer.xml"
    space = "http://taxii.mitre.org/messages/taxii_xml_binding-1.1"
    path.write_text(f'<t:Poll_Response xmlns:t="{space}">{"".join(blocks)}</t:Poll_Response>')
    reading = Reading(Stix1Settings(), Context("feed"), required=False)
    reading.add(path)
    found = [row for frame in reading.frames() for row in frame.to_dicts()]
    assert said(found) == [
        ("http://a.com/", None),
        ("a content block of urn:example:report", "no-stix1"),
        ("a content block of urn:example:cdata", "no-stix1"),
        ("a content block of unnamed format", "no-stix1"),
    ]


def _refused(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "hostile.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(FormatError) as caught:
        rows(path)
    return str(caught.value)


def test_hostile_documents_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    laughs = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(9))
    bomb = (
        f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>'
        + HEAD
        + "<stix:STIX_Header>&l9;</stix:STIX_Header></stix:STIX_Package>"
    )
    outside = f'<!DOCTYPE x [<!ENTITY s SYSTEM "{secret.as_uri()}">]>' + HEAD + "&s;</stix:STIX_Package>"
    assert "DOCTYPE" in _refused(tmp_path, bomb) or "well-formed" in _refused(tmp_path, bomb)
    assert "DOCTYPE" in _refused(tmp_path, outside)
    assert "well-formed" in _refused(tmp_path, HEAD + "<stix:X>" * 5000)
    assert "well-formed" in _refused(tmp_path, HEAD)
    assert "well-formed" in _refused(tmp_path, b"\x00\xff{")
    assert "no STIX 1" in _refused(tmp_path, "<html/>")
    assert "well-formed" in _refused(tmp_path, "")


def test_memory_does_not_grow_with_the_document(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / "many.xml"
        with path.open("w") as out:
            out.write(HEAD + "<stix:Indicators>")
            for number in range(count):
                inner = observed(url(f"http://a{number}.com/"))
                out.write(f'<stix:Indicator id="e:{number}">{inner}</stix:Indicator>')
            out.write("</stix:Indicators></stix:STIX_Package>")
        tracemalloc.start()
        found = sum(frame.height for frame in read(path, Stix1Settings(), Context("feed")))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found == count
        return most

    assert peak(6_000) < 3 * peak(3_000)


@settings(max_examples=60, deadline=None)
@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), st.integers(0, 4000), st.binary(max_size=8)
)
def test_damaged_documents_never_raise_anything_else(tmp_path_factory: Any, text: str, at: int, junk: bytes) -> None:
    whole = (DATA / "stix1" / "STIX_Phishing_Indicator.xml").read_bytes()
    path = tmp_path_factory.getbasetemp() / "damaged.xml"
    path.write_bytes(whole[:at] + text.encode() + junk + whole[at:])
    with suppress(FormatError):
        for row in rows(path):
            assert row["value"]
