"""The networks that an output publishes, in memory: so that what covers an address is found by its name.

An address lies in at most one network of each prefix length. Knowing the networks, a look-up tries those few in memory
and reads the table for hits only, where a search by interval would read all of it. Eight bytes a network; kept up by
the output's log.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np
from numpy.typing import NDArray

from tipline.model.addresses import MAPPED, Interval, spell
from tipline.model.keys import kh
from tipline.model.verdict import Verdict
from tipline.store.schema import CHANGED, REMOVED, log_table, published_table

BITS = {"ipv4": 32, "ipv6": 128}
_LAST = (1 << 128) - 1
_IS_WIDE = "type IN ('ipv4', 'ipv6') AND (contains(value, '/') OR contains(value, '-'))"
# A network's code: of IPv4 its prefix length and base, of IPv6 56 bits of its hash and its prefix length.
# A range that is no network has no name to be asked for: its hash only says that it is there.
_FOUR, _SIX, _FOUR_RANGE, _SIX_RANGE = range(4)
_SORT = f"(CASE type WHEN 'ipv6' THEN {_SIX} ELSE {_FOUR} END + CASE WHEN contains(value, '-') THEN 2 ELSE 0 END)"
_PREFIX = "split_part(value, '/', 2)::UBIGINT"
_PLACES = (
    "split_part(value, '.', 1)::UBIGINT << 24",
    "split_part(value, '.', 2)::UBIGINT << 16",
    "split_part(value, '.', 3)::UBIGINT << 8",
    "split_part(split_part(value, '.', 4), '/', 1)::UBIGINT",
)
_HASH = "md5_number_lower(type || '|' || value)"
_CODE = (
    f"CASE WHEN contains(value, '-') THEN {_HASH} WHEN type = 'ipv6' THEN ({_HASH} >> 8 << 8) | {_PREFIX}"
    f" ELSE ({_PREFIX} << 32) | ({') | ('.join(_PLACES)}) END"
)
Codes = NDArray[np.uint64]


@dataclass(frozen=True)
class Networks:
    """An output's networks as of a number of its log: their codes in order, by sort."""

    seq: int
    codes: tuple[Codes, ...]

    def has_ranges(self, type_: str) -> bool:
        """Whether there are ranges that are no networks."""
        return bool(self.codes[_SIX_RANGE if type_ == "ipv6" else _FOUR_RANGE].size)

    def around(self, judged: Sequence[Verdict]) -> list[tuple[int, str, str]]:
        """The networks that hold one of some addresses, networks or ranges, and more.

        Returns:
            Number of the value, type and network. Of IPv6 some that are none of the output's may be among them.
        """
        spans: dict[str, list[tuple[int, int, int]]] = {"ipv4": [], "ipv6": []}
        for n, v in enumerate(judged):
            if v.type in spans and v.lo and v.up and v.drop is None:
                end = int(v.up, 16)
                spans[v.type].append((n, int(v.lo, 16), end if end == _LAST else end - 1))
        found = _around_four(spans["ipv4"], self.codes[_FOUR]) if spans["ipv4"] else []
        return found + (_around_six(spans["ipv6"], self.codes[_SIX]) if spans["ipv6"] else [])


@dataclass
class NetworkCache:
    """The networks of every output (any thread)."""

    _known: dict[int, Networks] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, con: duckdb.DuckDBPyConnection, number: int) -> Networks:
        """The networks in the snapshot that a transaction sees."""
        row = con.execute("SELECT seq FROM output_state WHERE output = ?", [number]).fetchone()
        seq = int(row[0]) if row and row[0] is not None else 0
        known = self._known.get(number)
        if known is not None and known.seq == seq:
            return known
        found = _moved_on(con, number, known, seq) if known is not None and known.seq < seq else None
        found = found or _read(con, number, seq)
        with self._lock:
            if number not in self._known or self._known[number].seq < seq:
                self._known[number] = found
        return found


def _around_four(spans: list[tuple[int, int, int]], codes: Codes) -> list[tuple[int, str, str]]:
    table = np.array(spans, dtype=object)
    first, last = (table[:, n].astype(object) - MAPPED for n in (1, 2))
    lo, up = first.astype(np.int64)[:, None], last.astype(np.int64)[:, None]
    prefixes = np.unique(codes >> np.uint64(32)).astype(np.int64)[None, :]
    size = np.int64(1) << (32 - prefixes)
    base = lo & ~(size - 1)
    fits = (up < base + size) & (size > up - lo + 1)
    rows, columns = (_held(codes, ((prefixes << 32) | base).astype(np.uint64)) & fits).nonzero()
    return [
        (spans[row][0], "ipv4", f"{_dotted(int(base[row, column]))}/{int(prefixes[0, column])}")
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _around_six(spans: list[tuple[int, int, int]], codes: Codes) -> list[tuple[int, str, str]]:
    tried = []
    for prefix in np.unique(codes & np.uint64(0xFF)).tolist():
        size = 1 << (128 - prefix)
        for n, first, last in spans:
            base = first & ~(size - 1)
            if last < base + size and size > last - first + 1:
                tried.append((n, "ipv6", spell(Interval(6, base, base + size - 1)), prefix))
    asked = [kh(type_, network) >> 8 << 8 | prefix for _, type_, network, prefix in tried]
    held = _held(codes, np.array(asked, dtype=np.uint64))
    return [tried[place][:3] for place in held.nonzero()[0].tolist()]


def _dotted(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _held(codes: Codes, asked: Codes) -> NDArray[np.bool_]:
    if not codes.size:
        return np.zeros(asked.shape, dtype=np.bool_)
    places = np.minimum(np.searchsorted(codes, asked), codes.size - 1)
    found: NDArray[np.bool_] = codes[places] == asked
    return found


def _columns(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Codes, ...]:
    found = con.execute(query).fetchnumpy()
    codes, sorts = np.ma.getdata(found["code"]).astype(np.uint64), np.ma.getdata(found["sort"])
    return tuple(np.sort(codes[sorts == sort]) for sort in (_FOUR, _SIX, _FOUR_RANGE, _SIX_RANGE))


def _read(con: duckdb.DuckDBPyConnection, number: int, seq: int) -> Networks:
    query = f"SELECT {_CODE} AS code, {_SORT} AS sort FROM {published_table(number)} WHERE {_IS_WIDE}"
    return Networks(seq, _columns(con, query))


def _moved_on(con: duckdb.DuckDBPyConnection, number: int, known: Networks, seq: int) -> Networks | None:
    """What is known with the log's changes since; None if the log does not reach back."""
    since = f"FROM {log_table(number)} WHERE seq > {known.seq} AND seq <= {seq}"
    row = con.execute(f"SELECT count(*) {since}").fetchone()
    if not row or row[0] != seq - known.seq:
        return None
    changes = (
        f"SELECT {_CODE} AS code, {_SORT} AS sort, arg_max(op, seq) AS op {since} AND op <> {CHANGED} AND {_IS_WIDE}"
        " GROUP BY type, value"
    )
    touched = _columns(con, changes)
    there = _columns(con, f"SELECT code, sort FROM ({changes}) WHERE op <> {REMOVED}")
    return Networks(
        seq,
        tuple(
            np.sort(np.append(before[~np.isin(before, gone)], new))
            for before, gone, new in zip(known.codes, touched, there, strict=True)
        ),
    )
