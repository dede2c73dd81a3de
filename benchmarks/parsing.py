"""Parse speed of each format per CPU-second, and the memory that very large bodies take."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import generate
from benchmarks.measure import spent
from benchmarks.setting import quiet
from tipline.config.check import check
from tipline.engine.core import Engine
from tipline.formats import csv, freetext, misp, stix1, stix2
from tipline.formats.base import Context

_REPORTS = Path(__file__).parent.parent / "tests/data/freetext"
_PROSE = Path(__file__).parent.parent / "docs"
_WHOLE_POLL = """\
sources:
  feed: {tlp: clear, FEED}
outputs:
  everything: {kind: list, inputs: feed}
"""
Reader = Callable[[Path], Iterator[pl.DataFrame]]


def _read_csv(path: Path) -> Iterator[pl.DataFrame]:
    columns = {"value": "indicator", "confidence": "confidence", "first_seen": "first_seen", "tags": "tag"}
    return csv.read(path, csv.CsvSettings.model_validate({"columns": columns}), Context())


def _read_stix2(path: Path) -> Iterator[pl.DataFrame]:
    return stix2.read(path, stix2.Stix2Settings(), Context())


def _read_stix1(path: Path) -> Iterator[pl.DataFrame]:
    return stix1.read(path, stix1.Stix1Settings(), Context())


def _read_misp(path: Path) -> Iterator[pl.DataFrame]:
    return misp.read(path, misp.MispSettings(), Context())


def _read_freetext(path: Path) -> Iterator[pl.DataFrame]:
    return freetext.read(path, freetext.FreetextSettings(), Context())


def _stix_object(number: int, value: str) -> str:
    name = f"indicator--{number:08x}-0000-4000-8000-000000000000"
    moment = "2024-01-02T03:04:05.000Z"
    pattern = f"[url:value = '{value}']" if "/" in value else f"[domain-name:value = '{value}']"
    made = {
        "type": "indicator", "spec_version": "2.1", "id": name, "created": moment, "modified": moment, "name": value,
        "indicator_types": ["malicious-activity"], "pattern": pattern, "pattern_type": "stix", "valid_from": moment,
        "confidence": 80, "labels": ["botnet"], "description": "seen by a sensor " * 5,
    }  # fmt: skip
    return json.dumps(made)


def write_stix2(path: Path, objects: int | None = None, size: int | None = None) -> int:
    """A bundle of so many objects, or of so many bytes; returns the number of objects."""
    number = 0
    with path.open("w", encoding="utf-8") as out:
        out.write('{"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": [')
        while (objects is not None and number < objects) or (size is not None and out.tell() < size):
            out.write((",\n" if number else "") + _stix_object(number, f"host-{number}.example-{number % 977}.com"))
            number += 1
        out.write("]}")
    return number


_STIX1_PACKAGE = """\
<stix:STIX_Package xmlns:stix="http://stix.mitre.org/stix-1" xmlns:indicator="http://stix.mitre.org/Indicator-2"
 xmlns:stixCommon="http://stix.mitre.org/common-1" xmlns:cybox="http://cybox.mitre.org/cybox-2"
 xmlns:ttp="http://stix.mitre.org/TTP-1" xmlns:stixVocabs="http://stix.mitre.org/default_vocabularies-1"
 xmlns:DomainNameObj="http://cybox.mitre.org/objects#DomainNameObject-1" xmlns:example="http://example.com/"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" id="example:Package-1" version="1.2"
 timestamp="2024-01-02T03:04:05Z">
<stix:STIX_Header><stix:Title>benchmark</stix:Title></stix:STIX_Header>
<stix:Indicators>
"""
_STIX1_INDICATOR = """\
<stix:Indicator id="example:indicator-{n}" timestamp="2024-01-02T03:04:05Z" xsi:type="indicator:IndicatorType">
 <indicator:Title>Domain {value}</indicator:Title>
 <indicator:Type xsi:type="stixVocabs:IndicatorTypeVocab-1.1">Domain Watchlist</indicator:Type>
 <indicator:Description>seen by a sensor as a name that malware asks for</indicator:Description>
 <indicator:Valid_Time_Position><indicator:Start_Time>2024-01-02T03:04:05Z</indicator:Start_Time>
  <indicator:End_Time>2034-01-02T03:04:05Z</indicator:End_Time></indicator:Valid_Time_Position>
 <indicator:Observable id="example:observable-{n}"><cybox:Object id="example:object-{n}">
  <cybox:Properties xsi:type="DomainNameObj:DomainNameObjectType" type="FQDN">
   <DomainNameObj:Value condition="Equals">{value}</DomainNameObj:Value>
  </cybox:Properties></cybox:Object></indicator:Observable>
 <indicator:Indicated_TTP><stixCommon:TTP idref="example:ttp-{ttp}"/></indicator:Indicated_TTP>
 <indicator:Confidence timestamp="2024-01-02T03:04:05Z"><stixCommon:Value>High</stixCommon:Value></indicator:Confidence>
</stix:Indicator>
"""
_STIX1_TTP = """\
<stix:TTP id="example:ttp-{n}" xsi:type="ttp:TTPType"><ttp:Title>family {n}</ttp:Title></stix:TTP>
"""


def write_stix1(path: Path, indicators: int) -> None:
    """A package of so many indicators of one domain each, which indicate ten TTPs."""
    with path.open("w", encoding="utf-8") as out:
        out.write(_STIX1_PACKAGE)
        for n in range(indicators):
            value = f"host-{n}.example-{n % 977}.com"
            out.write(_STIX1_INDICATOR.format(n=n, value=value, ttp=n % 10))
        out.write("</stix:Indicators><stix:TTPs>")
        for n in range(10):
            out.write(_STIX1_TTP.format(n=n))
        out.write("</stix:TTPs></stix:STIX_Package>")


def write_misp(path: Path, attributes: int) -> None:
    """One event with so many attributes."""
    rows = [
        {
            "uuid": f"{n:08x}-0000-4000-8000-000000000000",
            "type": "domain",
            "category": "Network activity",
            "to_ids": True,
            "timestamp": "1704164645",
            "value": f"host-{n}.example-{n % 977}.com",
            "comment": "",
            "Tag": [{"name": "tlp:green"}],
        }
        for n in range(attributes)
    ]
    event = {
        "uuid": "00000000-0000-4000-8000-000000000000",
        "info": "benchmark",
        "date": "2024-01-02",
        "published": True,
        "timestamp": "1704164645",
        "Attribute": rows,
    }
    path.write_text(json.dumps({"Event": event}), encoding="utf-8")


def write_text(path: Path, size: int) -> None:
    """Paragraphs of prose and the lists of real reports, half and half by bytes, in random order."""
    reports = "\n".join(p.read_text(encoding="utf-8", errors="replace") for p in sorted(_REPORTS.rglob("*.txt")))
    prose = "\n".join(p.read_text(encoding="utf-8") for p in sorted(_PROSE.rglob("*.md")))
    halves = [_pieces(reports), _pieces(prose)]
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as out:
        written = [0, 0]
        while sum(written) < size:
            half = int(written[0] > written[1])
            piece = chance.choice(halves[half])
            written[half] += out.write(piece)


def _pieces(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    return ["".join(lines[start : start + 8]) for start in range(0, len(lines), 8)]


def _measured(path: Path, read: Reader, count: int, what: str) -> dict[str, Any]:
    rows = 0
    with spent() as used:
        for frame in read(path):
            rows += frame.height
    figures = used.figures(count, what)
    return figures | {"rows": rows, "mb_per_cpu_second": round(path.stat().st_size / 1e6 / used.cpu, 1)}


def parse_csv(_n: int, directory: Path) -> dict[str, Any]:
    """150,000 lines of CSV."""
    path = directory / "parse.csv"
    generate.csv(path, 150_000)
    return _measured(path, _read_csv, 150_000, "lines")


def parse_stix2(_n: int, directory: Path) -> dict[str, Any]:
    """30,000 indicators in a STIX 2.1 bundle."""
    path = directory / "parse.stix.json"
    return _measured(path, _read_stix2, write_stix2(path, objects=30_000), "objects")


def parse_stix1(_n: int, directory: Path) -> dict[str, Any]:
    """10,000 indicators in a STIX 1.2 package (12 MB)."""
    path = directory / "parse.stix.xml"
    write_stix1(path, 10_000)
    return _measured(path, _read_stix1, 10_000, "indicators")


def parse_misp(_n: int, directory: Path) -> dict[str, Any]:
    """50,000 attributes of one MISP event."""
    path = directory / "parse.misp.json"
    write_misp(path, 50_000)
    return _measured(path, _read_misp, 50_000, "attributes")


def parse_freetext(_n: int, directory: Path) -> dict[str, Any]:
    """10 MB of text, half of it real reports."""
    path = directory / "parse.txt"
    write_text(path, 10_000_000)
    return _measured(path, _read_freetext, path.stat().st_size, "bytes")


def large_csv(_n: int, directory: Path) -> dict[str, Any]:
    """A CSV of 2 GB: what it takes in memory."""
    path = directory / "large.csv"
    return _large(path, _read_csv, _write_large_csv(path, directory), "lines")


def _write_large_csv(path: Path, directory: Path) -> int:
    """2 GB; returns the number of lines."""
    part = directory / "parse.csv"
    generate.csv(part, 150_000)
    header, _, body = part.read_bytes().partition(b"\n")
    times = 2_000_000_000 // len(body) + 1
    with path.open("wb") as out:
        out.write(header + b"\n")
        for _ in range(times):
            out.write(body)
    return 150_000 * times


def large_stix2(_n: int, directory: Path) -> dict[str, Any]:
    """A STIX bundle of 1 GB: what it takes in memory."""
    path = directory / "large.stix.json"
    return _large(path, _read_stix2, write_stix2(path, size=1_000_000_000), "objects")


def poll_stix2(_n: int, directory: Path) -> dict[str, Any]:
    """A whole poll of a STIX bundle of 1 GB, with the default settings: what it takes in memory."""
    return _whole_poll(
        directory / "poll_stix2", "kind: stix2", lambda path: write_stix2(path, size=1_000_000_000), "objects"
    )


def poll_csv(_n: int, directory: Path) -> dict[str, Any]:
    """A whole poll of a CSV of 2 GB (150,000 indicators again and again), with the default settings."""
    columns = "columns: {value: indicator, confidence: confidence, first_seen: first_seen, tags: tag}"
    return _whole_poll(
        directory / "poll_csv", f"kind: csv, {columns}", lambda path: _write_large_csv(path, directory), "lines"
    )


def _whole_poll(place: Path, feed: str, write: Callable[[Path], int], what: str) -> dict[str, Any]:
    quiet()
    place.mkdir()
    try:
        count = write(place / "body")
        text = _WHOLE_POLL.replace("FEED", f"url: body, max_bytes: 4000000000, max_unpacked: 4000000000, {feed}")
        (place / "tipline.yml").write_text(text, encoding="utf-8")
        with Engine(check(place / "tipline.yml").usable()) as engine:
            with spent() as used:
                result = engine.poll("feed")
            said = {"accepted": result.ledger.accepted, "state": result.state, "message": result.message}
            return used.figures(count, what) | said
    finally:
        shutil.rmtree(place)


def _large(path: Path, read: Reader, count: int, what: str) -> dict[str, Any]:
    try:
        return _measured(path, read, count, what)
    finally:
        path.unlink()
