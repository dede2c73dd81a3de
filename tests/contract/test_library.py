"""Every entry of the library: it can be configured, reads its form without a loss, and stands there once."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML

from engine.support import START
from sources.opentaxii import OpenTaxii, opentaxii
from sources.taxii_stage import StandIn
from tipline.config.check import check_text
from tipline.config.library import Entry, by_prototype, by_url, entries
from tipline.kinds import kinds
from tipline.model import conform
from tipline.sources.base import PollContext, Source

SAMPLES = Path(__file__).parent.parent / "data" / "library"
EACH = [pytest.param(entry, id=name) for name, entry in entries().items()]
FILES = [each for each in EACH if each.values[0].sample and not each.values[0].source["kind"].startswith("taxii")]
TAXII1 = [each for each in EACH if each.values[0].source["kind"] == "taxii1"]
TAXII2 = [each for each in EACH if each.values[0].source["kind"] == "taxii2"]


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in entries().values():
        for name in re.findall(r"\$\{env:([^}]*)\}", json.dumps(found.source)):
            monkeypatch.setenv(name, "https://a-secret-of-a-test.example.org")


@pytest.mark.parametrize("entry", EACH)
def test_it_passes_check(entry: Entry, tmp_path: Path) -> None:
    out = StringIO()
    document = {"sources": {"tried": entry.source}, "outputs": {"out": {"kind": "list", "inputs": "tried"}}}
    YAML(typ="safe", pure=True).dump(document, out)
    assert [str(problem) for problem in check_text(out.getvalue(), tmp_path / "tipline.yml").problems] == []


def claims(entry: Entry, directory: Path, at: datetime = START, **over: Any) -> pl.DataFrame:
    """What the entry makes of its sample; reserved addresses are taken, since samples have no others."""
    known = kinds("source")[entry.source["kind"]]
    # References such as ${env:...} have a shape of their own in secrets, which reading does not use.
    settings: Any = known.Settings.model_validate({**entry.source, "allow_non_routable": True, **over})
    source = known("tried", settings)
    assert isinstance(source, Source)
    context = PollContext(directory, {}, at, "tried", directory)
    poll = source.poll(context)
    found = pl.concat([conform(frame, settings.policy(allow_list=False)) for frame in poll.frames])
    assert poll.warnings == []
    return found


def without_a_loss(found: pl.DataFrame) -> bool:
    """Whether there are rows, and all of them are claims."""
    assert found.filter(pl.col("drop").is_not_null()).select("raw", "drop").rows() == []
    return found.height > 0


@pytest.mark.parametrize("entry", FILES)
def test_it_reads_a_sample_of_its_form_without_a_loss(entry: Entry, tmp_path: Path) -> None:
    assert without_a_loss(claims(entry, tmp_path, url=str(SAMPLES / str(entry.sample))))


@pytest.fixture(scope="module")
def taxii1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpenTaxii, dict[str, str]]]:
    """A server with every collection of the library, and a subscription to each."""
    names = [each.values[0].source["collection"] for each in TAXII1]
    with opentaxii(tmp_path_factory.mktemp("opentaxii"), collections=names) as server:
        yield server, server.subscribe(*names, push=SAMPLES / "taxii1.xml")


@pytest.mark.parametrize("entry", TAXII1)
def test_it_reads_a_collection_of_taxii_1(
    entry: Entry, taxii1: tuple[OpenTaxii, dict[str, str]], tmp_path: Path
) -> None:
    """Signed in as the entry says; where that is by certificate, as somebody else: TLS has tests of its own."""
    server, subscriptions = taxii1
    over: dict[str, Any] = {"url": f"{server.url}/discovery", "allow_private": True, "client_cert": None}
    if "client_cert" in entry.source:
        over["basic"] = {"username": "guest", "password": "guest"}
    if "subscription_id" in entry.source:
        over["subscription_id"] = subscriptions[entry.source["collection"]]
    now = datetime.now(UTC).replace(tzinfo=None)
    assert without_a_loss(claims(entry, tmp_path, now, **over))


@pytest.mark.parametrize("entry", TAXII2)
def test_it_reads_a_collection_of_taxii_2(entry: Entry, web: Any, tmp_path: Path) -> None:
    server = StandIn(web, "2.0")
    server.collection = entry.source["collection"]
    for item in json.loads((SAMPLES / str(entry.sample)).read_text()):
        server.add("2026-01-02T00:00:00.000000Z", item)
    found = claims(entry, tmp_path, url=web.url("/taxii2/"), allow_private=True)
    assert without_a_loss(found)
    assert "Family" in found["tags"].explode().to_list()
    assert all(headers["authorization"].startswith("Token ") for _, headers in web.requests)


def test_every_form_has_a_sample_and_every_sample_a_use() -> None:
    # Nothing that tipline holds is in a list of wallets' addresses.
    assert {name for name, entry in entries().items() if not entry.sample} == {"threatview-bitcoin"}
    used = {entry.sample for entry in entries().values() if entry.sample}
    assert used == {file.name for file in SAMPLES.iterdir()} - {"NOTICE"}


def test_a_feed_stands_there_once() -> None:
    parts = ("rows", "collection")
    feeds = Counter(
        (url, *(entry.source.get(part) for part in parts)) for entry in entries().values() for url in entry.urls
    )
    assert [feed for feed, count in feeds.items() if count > 1] == []


def test_all_default_feeds_of_misp_are_there() -> None:
    assert sorted(number for entry in entries().values() for number in entry.misp) == [*range(1, 85)]


def test_entries_are_found_by_prototype_and_address() -> None:
    prototypes = Counter(name for entry in entries().values() for name in entry.minemeld)
    assert max(prototypes.values()) == 1
    found = by_prototype("dshield.block")
    assert found is not None
    assert found.name == "dshield-block"
    found = by_url("http://www.spamhaus.org/drop/drop.txt")
    assert found is not None
    assert found.name == "spamhaus-drop"
    assert by_url("https://example.com/") is None


def test_what_replaces_a_dead_feed_exists_and_lives() -> None:
    for entry in entries().values():
        if entry.instead:
            assert entries()[entry.instead].status != "dead"
