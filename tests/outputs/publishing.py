"""An engine whose published tables tests fill directly, the way an evaluation would."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tipline.config.builtins import add_builtins
from tipline.config.schema import Configuration, Settings
from tipline.engine.core import Engine
from tipline.outputs.base import Output
from tipline.outputs.file import FileKind, FileSettings
from tipline.outputs.list import ListKind, ListSettings
from tipline.store.schema import PUBLISHED, log_table, published_table

START = datetime.fromisoformat("2026-01-01T12:00")
_V4 = 0xFFFF << 32


def list_output(name: str, **settings: Any) -> ListKind:
    """A list."""
    return ListKind(name, ListSettings.model_validate({"kind": "list", "inputs": "none", **settings}))


def file_output(name: str, **settings: Any) -> FileKind:
    """A file."""
    return FileKind(name, FileSettings.model_validate({"kind": "file", "inputs": "none", **settings}))


def engine_of(directory: Path, *outputs: Output) -> Engine:
    """An engine with these outputs and nothing that feeds them."""
    configuration = Configuration(directory / "tipline.yml", Settings.model_validate({"store": {"threads": 1}}))
    configuration.outputs.update({output.name: output for output in outputs})
    add_builtins(configuration)
    return Engine(configuration)


def interval(value: str) -> tuple[str, str]:
    """`lo` and `up` of an address, CIDR or range."""
    if "-" in value:
        first, last = (ipaddress.ip_address(part) for part in value.split("-"))
    else:
        network = ipaddress.ip_network(value)
        first, last = network[0], network[-1]
    base = _V4 if first.version == 4 else 0
    up = min(base + int(last) + 1, 2**128 - 1)
    return f"{base + int(first):032x}", f"{up:032x}"


def row(type_: str, value: str, **attributes: Any) -> dict[str, Any]:
    """A published row."""
    found = {
        "type": type_,
        "value": value,
        "sources": ["feed"],
        "confidence": 50,
        "actionable": True,
        "tlp": 0,
        "added": START,
        "since": START,
        **attributes,
    }
    if type_ in {"ipv4", "ipv6"}:
        found["lo"], found["up"] = interval(value)
    return found


def publish(engine: Engine, name: str, rows: list[dict[str, Any]], at: datetime | None = None) -> int:
    """Publish exactly these rows as the next version; returns its number."""
    number = engine.graph.ids[name]
    table = published_table(number)
    with engine.lake.writing() as con:
        (seq,) = con.execute("SELECT seq + 1 FROM output_state WHERE output = ?", [number]).fetchone() or (1,)
        stamp = at or START + timedelta(minutes=seq)
        con.execute(f"DELETE FROM {table}")
        if rows:
            names = [column for column in PUBLISHED if any(column in each for each in rows)]
            line = f"({', '.join(f'?::{PUBLISHED[column]}' for column in names)})"
            con.execute(
                f"INSERT INTO {table} (key, kh, {', '.join(names)})"
                " SELECT md5(type || '|' || value)::UUID, md5_number_lower(type || '|' || value), *"
                f" FROM (VALUES {', '.join([line] * len(rows))}) v ({', '.join(names)})",
                [each.get(column) for each in rows for column in names],
            )
        con.execute(
            f"INSERT INTO {log_table(number)} (seq, stamp, op, type, value) VALUES (?, ?, 1, 'domain', 'x')",
            [seq, stamp],
        )
        con.execute("UPDATE output_state SET seq = ?, as_of = ? WHERE output = ?", [seq, stamp, number])
    return int(seq)
