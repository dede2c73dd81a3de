"""Lines seen before: a claim keeps a hash of its line, so that the next poll need not judge that again.

Judging a line depends on nothing but the line, the source's policy and the program, and all three are in
the hash. So a line whose hash a present claim bears would give that very claim, and is only counted. Lines
that were refused, or that lost to a better line on the same indicator, bear no claim and are judged at
every poll.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tipline import __version__
from tipline.model.claims import RAW_COLUMNS
from tipline.model.policy import Policy
from tipline.store.schema import claims_table

_HASHED = [name for name in RAW_COLUMNS if name != "drop"]


class Lines:
    """The lines that a source's present claims came from, and which of them a poll brings again.

    Args:
        con: the poll's own connection.
        source: the source's number.
        policy: how its lines are judged.

    Attributes:
        commit: the source's last commit when they were read.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, source: int, policy: Policy) -> None:
        self.source = source
        self.commit = commit_of(con, source)
        self._policy = _text_of(policy)
        found = con.execute(
            f"SELECT line FROM {claims_table(source)} WHERE line IS NOT NULL AND left_at IS NULL"
        ).fetchnumpy()["line"]
        known: NDArray[np.uint64] = np.sort(np.ma.getdata(found).astype(np.uint64))
        self._known = known[np.append(True, known[1:] != known[:-1])] if known.size else known
        self._brought = np.zeros(self._known.size, dtype=np.bool_)
        self._rows = 0

    def unseen(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        """The rows of a raw frame that must be judged, and their hashes; the others are noted as brought."""
        line = self._hashes(frame)
        if not self._known.size:
            return frame, line
        hashes = line.to_numpy()
        # In order: the steps of one search are then still in the cache at the next.
        order = np.argsort(hashes)
        places = np.empty(hashes.size, dtype=np.intp)
        places[order] = np.minimum(np.searchsorted(self._known, hashes[order]), self._known.size - 1)
        seen = self._known[places] == hashes
        if "drop" in frame.columns:
            seen &= frame["drop"].is_null().to_numpy()
        self._brought[places[seen]] = True
        self._rows += int(np.count_nonzero(seen))
        new = pl.Series(~seen)
        return frame.filter(new), line.filter(new)

    @property
    def seen(self) -> int:
        """How many known lines the poll brought, each counted once."""
        return int(np.count_nonzero(self._brought))

    @property
    def repeats(self) -> int:
        """How often it brought one of them again."""
        return self._rows - self.seen

    def gone(self) -> pl.DataFrame:
        """The known lines that the poll did not bring (`line`)."""
        return pl.DataFrame({"line": self._known[~self._brought]}, schema={"line": pl.UInt64})

    def _hashes(self, frame: pl.DataFrame) -> pl.Series:
        # A column that a frame lacks counts as null: blocks of one feed may differ in that.
        lists = [name for name in _HASHED if frame.schema.get(name, pl.String()).is_nested()]
        salt = int.from_bytes(hashlib.sha256(f"{lists} {self._policy}".encode()).digest()[:8], "little")
        columns = [
            pl.col(name) if name in frame.columns else pl.lit(None, dtype=pl.String).alias(name) for name in _HASHED
        ]
        return frame.select(columns).hash_rows(seed=salt).alias("line")


def commit_of(con: duckdb.DuckDBPyConnection, source: int) -> int:
    """The number of a source's last commit."""
    row = con.execute("SELECT commit_no FROM source_state WHERE source = ?", [source]).fetchone()
    return int(row[0]) if row else 0


def _text_of(policy: Policy) -> str:
    """Everything that judging depends on besides the line, as text that is the same in every process."""
    values = {entry.name: getattr(policy, entry.name) for entry in fields(policy)}
    return json.dumps([__version__, pl.__version__, values], sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else sorted(value) if isinstance(value, frozenset) else str(value)
