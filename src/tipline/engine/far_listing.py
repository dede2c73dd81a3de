"""What a far side showed when it was last read, ours and others', kept as one file beside the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from tipline.engine.core import Engine
from tipline.engine.deliver import Deliverer
from tipline.outputs.delivery import FarItem

_FOLDER = "far-sides"
# `content`: the item's own fields as JSON.
COLUMNS = {
    "far_id": pl.String, "type": pl.String, "value": pl.String, "key": pl.String, "bears": pl.String,
    "identity": pl.String, "by": pl.String, "allowed": pl.Boolean, "ended": pl.Boolean, "content": pl.String,
}  # fmt: skip


class FarListing:
    """Collects a listing part by part, and puts it in the place of the one before once it is complete."""

    def __init__(self, deliverer: Deliverer, con: duckdb.DuckDBPyConnection) -> None:
        lake = deliverer.lake.path
        self.path = lake.parent / _FOLDER / f"{deliverer.number}.parquet" if lake else None
        self.con = con
        columns = ", ".join(
            f'"{name}" {"BOOLEAN" if type_ is pl.Boolean else "VARCHAR"}' for name, type_ in COLUMNS.items()
        )
        con.execute(f"CREATE OR REPLACE TEMP TABLE far_listing ({columns})")

    def add(self, items: Sequence[FarItem]) -> None:
        """Keep some items."""
        if self.path is None or not items:
            return
        names = [name for name in COLUMNS if name != "content"]
        rows = [[*(getattr(item, name) for name in names), _json(item)] for item in items]
        self.con.register("far_part", pl.DataFrame(rows, schema=COLUMNS, orient="row").to_arrow())
        self.con.execute("INSERT INTO far_listing SELECT * FROM far_part")
        self.con.unregister("far_part")

    def save(self) -> None:
        """Put the listing in place, whole or not at all."""
        if self.path is None:
            return
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        new = self.path.with_suffix(".new")
        target = str(new).replace("'", "''")
        self.con.execute(f"COPY far_listing TO '{target}' (FORMAT parquet)")
        new.replace(self.path)
        self.con.execute("DROP TABLE far_listing")


def forget(deliverer: Deliverer, far_ids: set[str]) -> None:
    """Take what was deleted out of the last listing, so that nobody is shown it until the next one."""
    lake = deliverer.lake.path
    path = lake.parent / _FOLDER / f"{deliverer.number}.parquet" if lake else None
    if path is None or not path.exists() or not far_ids:
        return
    new = path.with_suffix(".new")
    pl.read_parquet(path).filter(~pl.col("far_id").is_in(list(far_ids))).write_parquet(new)
    new.replace(path)


def listing_file(engine: Engine, output: str) -> Path | None:
    """The file of what the far side of an output showed when it was last read; None if it never was."""
    lake = engine.lake.path
    path: Path | None = lake.parent / _FOLDER / f"{engine.graph.ids[output]}.parquet" if lake else None
    return path if path is not None and path.exists() and _is_ours(path) else None


def last_listing(engine: Engine, output: str) -> pl.DataFrame:
    """What the far side of an output showed when it was last read; empty if it never was (by this version)."""
    path = listing_file(engine, output)
    return pl.DataFrame(schema=COLUMNS) if path is None else pl.read_parquet(path)


def _is_ours(path: Path) -> bool:
    return list(pl.read_parquet_schema(path)) == list(COLUMNS)


def _json(item: FarItem) -> str:
    return json.dumps(dict(item.content), ensure_ascii=False, default=str)
