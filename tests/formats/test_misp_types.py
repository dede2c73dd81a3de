"""Every attribute type of MISP is mapped, or dropped with a reason."""

from __future__ import annotations

import json
from importlib.resources import files

import polars as pl
import pytest

from tipline.formats.misp import events_in
from tipline.formats.misp_events import Rows
from tipline.formats.misp_types import REFUSED, SPLITTERS, parts
from tipline.model.normalise import conform
from tipline.model.reasons import DROP_REASONS
from tipline.model.types import TYPES, type_of_word

pymisp = pytest.importorskip("pymisp")
DESCRIBED = json.loads((files("pymisp") / "data" / "describeTypes.json").read_text())["result"]


def kinds(kind: str) -> set[str | None]:
    """What a type's parts are read as."""
    return {type_of_word(part.word) for part in parts(kind, "left|right")}


def test_reasons_are_known() -> None:
    assert set(REFUSED.values()) <= set(DROP_REASONS)


def test_every_type_is_mapped_or_refused() -> None:
    types = set(DESCRIBED["types"])
    mapped = {kind for kind in types if kind not in REFUSED and kinds(kind) - {None}}
    refused = types & set(REFUSED)
    unsupported = types - mapped - refused
    assert len(types) == len(mapped) + len(refused) + len(unsupported) >= 194
    assert set(REFUSED) <= types
    assert set(SPLITTERS) <= types
    assert {"yara", "btc", "imphash", "mac-address"} <= unsupported
    assert not unsupported & {"ip-dst", "hostname|port", "domain|ip", "malware-sample", "email-reply-to"}


def test_every_type_that_the_table_names_is_read_so() -> None:
    for row in TYPES.values():
        for kind in row.misp:
            assert kinds(kind) & {row.name, "ip", "hash", "file-path"}, kind


def test_composites_know_all_their_parts() -> None:
    composites = {kind for kind in DESCRIBED["types"] if "|" in kind}
    assert composites <= set(SPLITTERS)


def test_what_misp_does_not_act_on_by_default_is_never_refused_as_context_wrongly() -> None:
    defaults = DESCRIBED["sane_defaults"]
    assert not {kind for kind in REFUSED if defaults[kind]["to_ids"]}


def test_what_pymisp_makes_is_read() -> None:
    event = pymisp.MISPEvent()
    event.info = "made by PyMISP"
    event.set_date("2026-01-01")
    event.analysis, event.threat_level_id, event.timestamp = 2, 1, 1_767_225_600
    event.Orgc = pymisp.MISPOrganisation()
    event.Orgc.from_dict(name="ACME", uuid="55f6ea5e-51ac-4344-bc8c-4170950d210f")
    event.add_tag("tlp:green")
    event.add_attribute("filename|sha256", "a.exe|" + "0" * 63 + "1")
    event.add_attribute("link", "https://blog.example/")
    thing = event.add_object(name="domain-ip", strict=False)
    thing.add_attribute("domain", type="domain", value="evil.com", to_ids=True)
    thing.add_attribute("ip", type="ip-dst", value="45.1.2.3", to_ids=False)
    for document in (json.loads(event.to_json()), event.to_feed()):
        rows = Rows()
        (found,) = events_in(document)
        assert not list(rows.event(dict(found)))
        claims = conform(rows.take())
        kept = claims.filter(pl.col("drop").is_null())
        assert kept["value"].to_list() == ["a.exe", "0" * 63 + "1", "evil.com", "45.1.2.3"]
        assert kept["tlp"].to_list() == [1] * 4
        assert kept["references"].to_list() == [["https://blog.example/"]] * 4
        assert kept["actionable"].to_list() == [True, True, True, False]
        assert {record.partition("/")[0] for record in kept["record"]} == {event.uuid}
