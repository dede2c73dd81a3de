"""Which kinds could read a body, the most telling first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tipline.config.guess.objects import json_candidates
from tipline.config.guess.tables import table_candidates

_SAMPLE = 1 << 20  # bytes of text that are looked at
_DOCUMENT = 64 << 20  # bytes of a JSON document that is parsed whole
_LINES = 2_000

_IP = r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)"
# Dialect, how most of its lines look, and the share of lines that must look so.
_DIALECTS: tuple[tuple[str, str, float], ...] = (
    ("adblock", r"^(?:\|\|?|@@|.*##|.*#@#|\[Adblock)", 0.5),
    ("dnsmasq", r"^(?:address|server|local)=/", 0.6),
    ("unbound", r"^(?:server:|local-(?:zone|data):)", 0.6),
    ("suricata", r"^(?:alert|drop|reject|pass)\s+\S+\s.*\(.*sid:", 0.6),
    ("ipset", r"^-?(?:add|create|A|N)\s+\S+\s", 0.6),
    ("suricata-iprep", rf"^{_IP}(?:/\d+)?,\d{{1,3}},\d{{1,3}}$", 0.9),
    ("hosts", rf"^{_IP}[ \t]+[A-Za-z0-9_*-][^\s,;]*(?:\s+[^\s#,;]+)*\s*(?:#.*)?$", 0.7),
    ("suricata-dataset", r"^(?=.{8,}$)(?=.*[A-Z])[A-Za-z0-9+/]+={0,2}$", 0.95),
)
_SOA = re.compile(r"\bSOA\b", re.IGNORECASE)
_TARGET = re.compile(r"\bCNAME\s+(?:\.|\*\.|rpz-)", re.IGNORECASE)


@dataclass(frozen=True)
class Body:
    """A feed's text.

    Attributes:
        place: where it came from.
        path: the whole text, UTF-8.
        text: its beginning, whole lines.
    """

    place: str
    path: Path
    text: str

    @classmethod
    def of(cls, path: Path, place: str) -> Body:
        """Of a decoded file."""
        with path.open("rb") as stream:
            data = stream.read(_SAMPLE + 1)
        if len(data) > _SAMPLE:
            data = data[: data.rfind(b"\n", 0, _SAMPLE) + 1] or data[:_SAMPLE]
        return cls(place, path, data.decode("utf-8", "replace").removeprefix("\ufeff"))

    @property
    def lines(self) -> list[str]:
        """Its first lines, without blank ones."""
        return [line.strip() for line in self.text.splitlines()[: _LINES * 2] if line.strip()][:_LINES]

    def document(self) -> Any:
        """The JSON value that it is, or the list of its lines' values; None if it is none."""
        if self.path.stat().st_size > _DOCUMENT:
            return None
        text = self.path.read_text(encoding="utf-8-sig", errors="replace")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()] or None
        except (ValueError, RecursionError):
            return None


def candidates(body: Body) -> Iterator[dict[str, Any]]:
    """Settings to try, kind first, in order of preference."""
    head = body.text.lstrip()[:4096]
    if head.startswith(("{", "[")) and not head.lower().startswith("[adblock"):
        document = body.document()
        if document is not None:
            yield from json_candidates(document, body.place)
    lowered = head.lower()
    if lowered.startswith("<"):
        yield from _markup(lowered)
    if head.startswith("%PDF"):
        yield {"kind": "freetext"}
        return
    lines = [line for line in body.lines if not line.startswith("#") or line.startswith("##")]
    yield from _dialects(body, lines)
    yield from table_candidates(body.text)
    yield from _plain(lines)
    yield {"kind": "freetext"}


def _markup(head: str) -> Iterator[dict[str, Any]]:
    if "stix" in head and "mitre.org" in head:
        yield {"kind": "stix1"}
    elif "<rss" in head or "<feed" in head or "<rdf:" in head:
        yield {"kind": "rss", "mode": "append", "expire": "added + 90d"}
    elif "<html" in head or "<!doctype html" in head:
        yield {"kind": "html"}
        yield {"kind": "freetext"}


def _dialects(body: Body, lines: list[str]) -> Iterator[dict[str, Any]]:
    if re.search(r"^#fields\t.*\bindicator\b", body.text, re.MULTILINE):
        yield {"kind": "lines", "dialect": "zeek"}
    if _SOA.search(body.text) and _TARGET.search(body.text):
        yield {"kind": "lines", "dialect": "rpz"}
    told = [line for line in lines if not line.startswith(("!", ";"))]
    for dialect, pattern, share in _DIALECTS:
        matched = sum(re.match(pattern, line) is not None for line in told)
        if told and matched >= share * len(told):
            yield {"kind": "lines", "dialect": dialect}


def _plain(lines: list[str]) -> Iterator[dict[str, Any]]:
    """A list with one indicator a line; prose has several words a line and few indicators."""
    yield {"kind": "lines"}
    if sum("\\" in line or " " in line for line in lines) * 2 > len(lines):
        yield {"kind": "lines", "take": "line"}
