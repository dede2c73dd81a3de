"""Range arithmetic: IPv4 ranges of five sources, laid apart, with allowed networks cut out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from benchmarks.measure import spent
from tipline.processors.iptext import named
from tipline.processors.rangesql import disjoint
from tipline.store.schema import VIEW

_CUTS = 2_000
_SOURCES = 5
# First octet 1 to 220: what the arithmetic does with special-purpose blocks is not the matter.
_LOW, _HIGH = 1 << 24, 220 << 24


def ranges(n: int, _directory: Path) -> dict[str, Any]:
    """N networks and addresses, one in five overlapping another, minus 2,000 networks (/16 to /24)."""
    random = np.random.default_rng(7)
    con = duckdb.connect(config={"threads": 1, "memory_limit": "2GB", "preserve_insertion_order": False})
    lengths = random.choice([32, 32, 32, 32, 28, 26, 24], n)
    _view(con, "claims", random.integers(_LOW, _HIGH, n), lengths, random.integers(0, _SOURCES, n))
    cuts = random.integers(16, 25, _CUTS)
    _view(con, "allowed", random.integers(_LOW, _HIGH, _CUTS), cuts, np.zeros(_CUTS, dtype=np.int64))
    with spent() as done:
        con.execute(f"CREATE TEMP TABLE found AS {disjoint('claims', 'allowed')}")
    row = con.execute("SELECT count(*) FILTER (dropped IS NULL), count(*) FILTER (dropped IS NOT NULL) FROM found")
    kept, gone = row.fetchone() or (0, 0)
    return {**done.figures(n, "ranges"), "disjoint": kept, "allowed": gone}


def _view(con: duckdb.DuckDBPyConnection, table: str, base: np.ndarray, length: np.ndarray, source: np.ndarray) -> None:
    """A relation with the view columns, one row a network."""
    size = 1 << (32 - length)
    columns = {"lo": base & ~(size - 1), "size": size, "source": source}
    con.register("numbers", columns)
    given = {
        "lo": "lpad(to_hex(281470681743360 + lo), 32, '0')::UUID",
        "up": "lpad(to_hex(281470681743360 + lo + size), 32, '0')::UUID",
        "type": "'ipv4'",
        "sources": "['source-' || source]",
        "confidence": "50::UTINYINT",
        "actionable": "TRUE",
        "tlp": "0::UTINYINT",
    }
    selected = ", ".join(f"{given.get(name, 'NULL')}::{kind} AS {name}" for name, kind in VIEW.items())
    con.execute(f"CREATE TEMP TABLE {table} AS {named(f'SELECT {selected} FROM numbers')}")
    con.unregister("numbers")
