"""Every entry of the library: it can be configured, reads its form without a loss, and stands there once."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML

from tipline.config.check import check_text
from tipline.config.library import Entry, by_prototype, by_url, entries
from tipline.kinds import kinds
from tipline.model import conform
from tipline.sources.base import PollContext, Source

SAMPLES = Path(__file__).parent.parent / "data" / "library"
EACH = [pytest.param(entry, id=name) for name, entry in entries().items()]
# Kinds that talk to a server or fetch several files have tests of their own.
FOLDERS = {"misp-feed", "taxii1", "taxii2"}


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


def claims(entry: Entry, directory: Path) -> pl.DataFrame:
    """What the entry makes of its sample; reserved addresses are taken, since samples have no others."""
    known = kinds("source")[entry.source["kind"]]
    url = str(SAMPLES / str(entry.sample))
    # References such as ${env:...} have a shape of their own in secrets, which reading does not use.
    settings: Any = known.Settings.model_validate({**entry.source, "url": url, "allow_non_routable": True})
    source = known("tried", settings)
    assert isinstance(source, Source)
    context = PollContext(directory, {}, datetime.fromisoformat("2026-01-01"), "tried", directory)
    frames = [conform(frame, settings.policy(allow_list=False)) for frame in source.poll(context).frames]
    return pl.concat(frames)


@pytest.mark.parametrize("entry", [each for each in EACH if each.values[0].sample])
def test_it_reads_a_sample_of_its_form_without_a_loss(entry: Entry, tmp_path: Path) -> None:
    found = claims(entry, tmp_path)
    assert found.height > 0
    assert found.filter(pl.col("drop").is_not_null()).select("raw", "drop").rows() == []


def test_every_form_has_a_sample_and_every_sample_a_use() -> None:
    lacking = {n for n, e in entries().items() if not e.sample and e.source["kind"] not in FOLDERS}
    assert lacking == {"threatview-bitcoin"}
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
