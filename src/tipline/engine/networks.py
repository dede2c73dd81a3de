"""The networks that an output publishes, in memory: so that what covers an address is found by its hash.

An address lies in at most one network of each prefix length. Knowing the lengths that occur and the hashes
of the networks, a look-up tries those few in memory and reads the table for hits only, where a search by
interval would read all of it. Twelve bytes a network; kept up by the output's log.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import numpy as np
from numpy.typing import NDArray

from tipline.model.addresses import MAPPED, Interval, spell
from tipline.store.schema import CHANGED, REMOVED, log_table, published_table

BITS = {"ipv4": 32, "ipv6": 128}
_LAST = (1 << 128) - 1
# A row's sort: the prefix length, above 1000 for IPv6; a range that is no network has length 999.
_RANGE, _SIX = 999, 1000
_SORT = (
    f"(CASE type WHEN 'ipv6' THEN {_SIX} ELSE 0 END + CASE WHEN contains(value, '-') THEN {_RANGE}"
    " ELSE split_part(value, '/', 2)::INTEGER END)::INTEGER"
)
_IS_WIDE = "type IN ('ipv4', 'ipv6') AND (contains(value, '/') OR contains(value, '-'))"


@dataclass(frozen=True)
class Networks:
    """An output's networks as of a number of its log: their hashes in order, and the sort of each."""

    seq: int
    hashes: NDArray[np.uint64]
    sorts: NDArray[np.int32]
    present: frozenset[int]

    def prefixes(self, type_: str) -> list[int]:
        """The prefix lengths that occur, widest networks first."""
        low = _SIX if type_ == "ipv6" else 0
        return sorted(sort - low for sort in self.present if 0 <= sort - low <= BITS[type_])

    def has_ranges(self, type_: str) -> bool:
        """Whether there are ranges that are no networks, and so have no name to ask for."""
        return (_SIX if type_ == "ipv6" else 0) + _RANGE in self.present

    def hold(self, hashes: list[int]) -> NDArray[np.bool_]:
        """Which of the hashes are those of networks."""
        asked = np.array(hashes, dtype=np.uint64)
        if not self.hashes.size:
            return np.zeros(asked.size, dtype=np.bool_)
        places = np.minimum(np.searchsorted(self.hashes, asked), self.hashes.size - 1)
        found: NDArray[np.bool_] = self.hashes[places] == asked
        return found


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


def networks_around(type_: str, lo: str, up: str, prefixes: list[int]) -> Iterator[str]:
    """The networks of the given prefix lengths that hold an interval and more, as tipline writes them.

    Args:
        type_: ipv4 or ipv6.
        lo: first address, as claims have it: 32 hex digits.
        up: the address after the last one.
        prefixes: their lengths.
    """
    bits = BITS[type_]
    shift = MAPPED if bits == 32 else 0
    first, end = int(lo, 16) - shift, int(up, 16)
    last = (end if end == _LAST else end - 1) - shift
    for prefix in prefixes:
        size = 1 << (bits - prefix)
        base = first & ~(size - 1)
        if last >= base + size or size <= last - first + 1:
            continue
        if bits == 32:  # the common case, without an object for each
            yield f"{base >> 24}.{base >> 16 & 255}.{base >> 8 & 255}.{base & 255}/{prefix}"
        else:
            yield spell(Interval(6, base, base + size - 1))


def _made(seq: int, hashes: NDArray[np.uint64], sorts: NDArray[np.int32]) -> Networks:
    order = np.argsort(hashes)
    return Networks(seq, hashes[order], sorts[order], frozenset(np.unique(sorts).tolist()))


def _columns(con: duckdb.DuckDBPyConnection, query: str) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    found = con.execute(query).fetchnumpy()
    return np.ma.getdata(found["kh"]).astype(np.uint64), np.ma.getdata(found["sort"]).astype(np.int32)


def _read(con: duckdb.DuckDBPyConnection, number: int, seq: int) -> Networks:
    query = f"SELECT kh, {_SORT} AS sort FROM {published_table(number)} WHERE {_IS_WIDE}"
    return _made(seq, *_columns(con, query))


def _moved_on(con: duckdb.DuckDBPyConnection, number: int, known: Networks, seq: int) -> Networks | None:
    """What is known with the log's changes since; None if the log does not reach back."""
    since = f"FROM {log_table(number)} WHERE seq > {known.seq} AND seq <= {seq}"
    row = con.execute(f"SELECT count(*) {since}").fetchone()
    if not row or row[0] != seq - known.seq:
        return None
    changes = (
        f"SELECT md5_number_lower(type || '|' || value) AS kh, {_SORT} AS sort, arg_max(op, seq) AS op"
        f" {since} AND op <> {CHANGED} AND {_IS_WIDE} GROUP BY type, value"
    )
    touched, _ = _columns(con, changes)
    hashes, sorts = _columns(con, f"SELECT kh, sort FROM ({changes}) WHERE op <> {REMOVED}")
    kept = ~np.isin(known.hashes, touched)
    return _made(seq, np.append(known.hashes[kept], hashes), np.append(known.sorts[kept], sorts))
