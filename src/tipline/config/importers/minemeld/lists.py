"""What people and scripts had added: indicator lists in YAML and in localDB's SQLite."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tipline.config.importers.minemeld.miners import LOCALDB_TTL
from tipline.config.importers.minemeld.nodes import Node
from tipline.config.importers.minemeld.tree import Tree
from tipline.config.importers.report import Imported
from tipline.model import tlp

_STEPS = 50_000_000  # of SQLite's machine, after which a database is given up
_MOST_ROWS = 1_000_000


def carry(node: Node, tree: Tree, made: Imported, now: datetime) -> None:
    """Write the entries of a list as JSON lines that `tipline add` takes."""
    rows = [row for row in _entries(node, tree, made, now) if row.get("value")]
    if not rows:
        return
    path = f"lists/{node.name}.jsonl"
    made.files[path] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    made.needed.append(f"before the first run: tipline add - --source {node.name} < {path}")
    made.say(node.name, "indicators", "translated", f"{len(rows):,} entries: {path}")


def _entries(node: Node, tree: Tree, made: Imported, now: datetime) -> Iterator[dict[str, Any]]:
    listed = tree.yaml(f"{node.name}_indicators.yml")
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and item.get("indicator") is not None:
            yield _entry(str(item["indicator"]), item)
    database = tree.find(f"{node.name}_indicators.db")
    if database is not None:
        yield from _database(node, tree.files[database], made, now)


def _entry(value: str, attributes: dict[str, Any]) -> dict[str, Any]:
    level = tlp.level(str(attributes.get("share_level", "")))
    comment = attributes.get("comment")
    return {"value": value, **({"tlp": tlp.name(level)} if level is not None else {}),
            **({"comment": str(comment)[:2000]} if comment else {})}  # fmt: skip


def _database(node: Node, body: bytes, made: Imported, now: datetime) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="tipline-import-") as folder:
        path = Path(folder) / "local.db"
        path.write_bytes(body)
        try:
            con = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
            try:
                con.set_progress_handler(lambda: 1, _STEPS)
                kind = con.execute("SELECT type FROM sqlite_master WHERE name = 'indicators'").fetchone()
                rows = con.execute(
                    "SELECT indicator, type, attributes, expiration_ts, update_ts FROM indicators"
                ).fetchmany(_MOST_ROWS) if kind == ("table",) else []  # fmt: skip
            finally:
                con.close()
        except sqlite3.Error as exc:
            made.say(node.name, "indicators", "lost", f"the database cannot be read: {exc}")
            return
    for value, _type, attributes, ends, updated in rows:
        seconds = _left(ends, updated, node.config.get("default_ttl", LOCALDB_TTL), now)
        if seconds is not None and seconds <= 0:
            made.say(node.name, "indicators", "kept", "entries that had expired are left out")
            continue
        yield {**_entry(str(value), _object(attributes)), "ttl": "never" if seconds is None else f"{seconds}s"}


def _object(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _left(ends: Any, updated: Any, default: Any, now: datetime) -> int | None:
    """Seconds until an entry ends; None: never."""
    if ends == "disabled":
        return None
    if not isinstance(ends, int):
        if not isinstance(updated, int) or not isinstance(default, int):
            return None
        ends = updated + default * 1000
    return int(ends // 1000 - now.timestamp())
