"""How much memory the database may use at the moment: little while a large body is taken in, else all it was given."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

# Enough for a poll of any size, which spills to disk what does not fit; it takes no more processor time than with more.
SPARING_MIB = 96
_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


class Allowance:
    """The database's limit, which falls while somebody spares and nobody asks for plenty.

    Args:
        most: what it was given, such as `2GB`.
        set_limit: makes a limit hold, for the whole database.
    """

    def __init__(self, most: str, set_limit: Callable[[str], None]) -> None:
        self._most = most
        self._set = set_limit
        self._lock = threading.Lock()
        self._sparing = 0
        self._ample = 0
        self._low = False

    @contextmanager
    def sparing(self, *, wanted: bool = True) -> Iterator[None]:
        """Keep to little memory for the time of a block, if that is wanted."""
        with self._counted(int(wanted), 0):
            yield

    @contextmanager
    def ample(self) -> Iterator[None]:
        """Have all there is for the time of a block, whoever spares meanwhile."""
        with self._counted(0, 1):
            yield

    @contextmanager
    def _counted(self, sparing: int, ample: int) -> Iterator[None]:
        self._add(sparing, ample)
        try:
            yield
        finally:
            self._add(-sparing, -ample)

    def _add(self, sparing: int, ample: int) -> None:
        with self._lock:
            self._sparing += sparing
            self._ample += ample
            low = bool(self._sparing and not self._ample) and _bytes(self._most) > SPARING_MIB * 2**20
            if low != self._low:
                self._fit(low=low)

    def _fit(self, *, low: bool) -> None:
        try:
            self._set(f"{SPARING_MIB}MiB" if low else self._most)
        except duckdb.Error:
            return  # more than that is in use and cannot be put on disk, or the database is closing
        self._low = low


def _bytes(text: str) -> float:
    """A size as DuckDB reads it."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT]i?B)\s*", text, re.IGNORECASE)
    return float(found[1]) * _UNITS[found[2].upper()] if found else 0
