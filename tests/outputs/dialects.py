"""Every dialect with something for it to write, for the tests of dialects."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

from outputs.publishing import publish, row
from tipline.engine.core import Engine
from tipline.model.types import TYPES
from tipline.outputs.render import SPECS, Context, Dialect, Rendered, render
from tipline.outputs.render.dialect import OPTIONS, Format, dialect
from tipline.store.schema import published_table

CONTEXT = Context("block-list", 7, datetime.fromisoformat("2026-01-02T03:04:05"))
HEX = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "ja3": 32, "certificate-sha1": 40}
GOOD: dict[str, list[str]] = {
    "ipv4": ["192.0.2.1", "198.51.100.0/24", "203.0.113.5-203.0.113.9", "198.51.100.7"],
    "ipv6": ["2001:db8::1", "2001:db8:1::/48", "2001:db8:2::1-2001:db8:2::4", "::1", "2001:db8:0:1:1:1:1:1"],
    "domain": ["a.example", "_dmarc.b-c.example", "xn--bcher-kva.example", "r4---sn.example"],
    "url": [
        "http://a.example/x?y=1&z=2;3",
        "https://b.example",
        "http://192.0.2.7:8080/a:b",
        "ftp://c.example/%20#f",
    ],
    **{name: ["0a" * (length // 2)] for name, length in HEX.items()},
    "email": ["someone@a.example"],
    "file-name": ["invoice.pdf.exe"],
    "file-path": ["C:\\Windows\\x.dll"],
    "registry-key": ["HKLM\\Software\\X"],
    "mutex": ["Global\\m"],
    "user-agent": ["Mozilla/5.0 (x; y)"],
    "command-line": ["cmd /c whoami"],
    "asn": ["AS64496"],
    "cve": ["CVE-2024-0001"],
    "ssdeep": ["3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C"],
}


def choices() -> list[tuple[Format, str]]:
    """Every format, with each value of its option `t`."""
    found: list[tuple[Format, str]] = []
    for name in SPECS:
        pattern = OPTIONS.get(name, {}).get("t")
        if pattern is None or name == "mwg":
            found.append((name, ""))
        else:
            found += [(name, each) for each in pattern.pattern.split("|")]
    return found


def of(name: Format, t: str = "", **settings: Any) -> Dialect:
    """A dialect of a format, with a category for those who need one."""
    options = [("t", t)] if t else []
    return dialect(name, options=[*options, ("cd", "bad things"), *settings.pop("options", [])], **settings)


def good_rows() -> list[dict[str, Any]]:
    """Some indicators of every type."""
    unknown = {name: ["x"] for name in TYPES if name not in GOOD}
    values = [(name, value) for name, all_ in {**GOOD, **unknown}.items() for value in all_]
    return [row(name, value, confidence=80, description='seen\tin "x"') for name, value in values]


def write(engine: Engine, name: str, how: Dialect, context: Context = CONTEXT) -> tuple[bytes, Rendered]:
    """What a list is in a dialect."""
    out = io.BytesIO()
    with engine.lake.reading() as con:
        made = render(con, published_table(engine.graph.ids[name]), how, out, context)
    assert made.size == len(out.getvalue())
    return out.getvalue(), made


def written(engine: Engine, rows: list[dict[str, Any]], how: Dialect) -> tuple[bytes, Rendered]:
    """What rows are in a dialect."""
    publish(engine, "x", rows)
    return write(engine, "x", how)
