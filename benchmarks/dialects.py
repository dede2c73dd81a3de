"""Lists in every dialect: rows written per CPU-second, from a table of the types that it carries."""

from __future__ import annotations

import io
import multiprocessing
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measure import forget_peak, spent
from tipline.outputs.render import SPECS, render
from tipline.outputs.render.dialect import Dialect, Format, dialect
from tipline.store.allowance import WRITING
from tipline.store.schema import PUBLISHED, columns_sql

# What rows look like, by type; others are not measured.
_VALUES = {
    "domain": "concat('h', i % 97, '.', left(md5(i::VARCHAR), 10), '.example')",
    "ipv4": "concat_ws('.', n >> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255)",
    "md5": "md5(i::VARCHAR)",
    "sha256": "sha256(i::VARCHAR)",
    "url": "concat('http://', left(md5(i::VARCHAR), 10), '.example/', i % 1000, '/login.php?id=', i)",
}
_USUAL = ("domain", "ipv4", "sha256", "url")
# Written with more than one choice of what they carry.
_ALSO: tuple[tuple[str, Dialect], ...] = (
    ("plain newest first", dialect("plain", newest=True)),
    ("plain as MineMeld", dialect("plain", compat=True)),
    ("plain sum", dialect("plain", merged=True)),
    ("squid domains", dialect("squid", options=[("t", "domain")])),
    ("fortigate urls", dialect("fortigate", options=[("t", "url")])),
)
_OPTIONS: dict[Format, list[tuple[str, str]]] = {
    "bluecoat": [("cd", "listed")],
    "edl-ip": [("most", "100000000")],
    "edl-url": [("most", "100000000")],
    "fortigate": [("most", "100000000")],
}


class _Nowhere(io.BytesIO):
    """Takes what is written, and counts it."""

    taken = 0

    def write(self, data: Any) -> int:
        self.taken += len(data)
        return len(data)


def dialects(n: int, directory: Path) -> dict[str, Any]:
    """Every dialect on `n` rows, evenly of the types that it carries, and its memory with a tenth of them, too."""
    paths = {count: directory / f"dialects-{count}.duckdb" for count in (n, n // 10)}
    # A process for each, so that its peak is its own; a database with one thread.
    processes = multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1)
    try:
        with processes as pool:
            found = {}
            for name, _ in _all():
                few, many = (pool.apply(_measured, (paths[count], name, count)) for count in (n // 10, n))
                found[name] = {**many, "peak_mib_of_a_tenth": few["peak_mib"]}
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)
    return {"goals": {"plain": 1_000_000, "json": 300_000, "csv": 300_000}, "dialects": found}


def _all() -> list[tuple[str, Dialect]]:
    usual = [(str(name), dialect(name, options=_OPTIONS.get(name, []))) for name in SPECS]
    return [*usual, *_ALSO]


def _measured(path: Path, name: str, n: int) -> dict[str, Any]:
    """One dialect on a table that is made when first asked for, with the memory that lists are written with."""
    how = dict(_all())[name]
    carried = SPECS[how.format].carried(how)
    types = [each for each in (_USUAL if carried is None else _VALUES) if carried is None or each in carried]
    with duckdb.connect(path, config={"threads": 1, "memory_limit": "2GB"}) as con:
        table = _table(con, types, n)
    sink = _Nowhere()
    settings: dict[str, Any] = {"threads": 1, "memory_limit": f"{WRITING}MiB", "preserve_insertion_order": False}
    with duckdb.connect(path, config=settings) as con:
        forget_peak()
        with spent() as rendering:
            made = render(con, table, how, sink)
        figures = rendering.figures(n, "rows")
    return {
        **figures,
        "types": types,
        "records": made.rows,
        "left_out": made.left_out,
        "mb": sink.taken // 10**6,
    }


def _table(con: duckdb.DuckDBPyConnection, types: list[str], n: int) -> str:
    """A published table with `n` rows of these types, in no order; made when first asked for."""
    name = f"published_{'_'.join(types)}"
    if con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [name]).fetchone():
        return name
    con.execute(f"CREATE TABLE {name} ({columns_sql(PUBLISHED)})")
    each = n // len(types)
    for type_ in types:
        address = "('00000000-0000-0000-0000-ffff' || lpad(to_hex(n + {}), 8, '0'))::UUID"
        lo, up = (address.format(more) if type_ == "ipv4" else "NULL::UUID" for more in (0, 1))
        con.execute(
            f"INSERT INTO {name} BY NAME SELECT md5('{type_}' || value)::UUID AS key, i::UBIGINT AS kh,"
            f" '{type_}' AS type, value, {lo} AS lo, {up} AS up, ['feed', 'other'] AS sources,"
            " (i % 101)::UTINYINT AS confidence, TRUE AS actionable, (i % 3)::UTINYINT AS tlp,"
            " ['c2'] AS threat_types,"
            " ['emotet', 'x'] AS tags, CASE WHEN i % 3 = 0 THEN 'seen in a campaign' END AS description,"
            " '2026-01-01'::TIMESTAMP - to_seconds(i % 9999) AS first_seen,"
            " '2026-01-02'::TIMESTAMP - to_seconds(i % 9999) AS last_seen, '2026-01-01'::TIMESTAMP AS added,"
            " '2026-01-01'::TIMESTAMP AS since"
            f" FROM (SELECT *, {_VALUES[type_]} AS value FROM (SELECT i, (i * 2654435761) % 3758096384 AS n"
            f" FROM range({each}) r (i))) ORDER BY key"
        )
    return name
