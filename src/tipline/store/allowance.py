"""How much memory the database may use at the moment: as much as the work at hand needs, at most what it was given."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import duckdb
import structlog

from tipline.errors import StoreError

log = structlog.get_logger()

# What is enough, in MiB, for any size: what does not fit goes to disk. With more, the database would keep in memory
# whatever it has seen; the same work takes it up to a tenth less processor time then.
INTAKE, WRITING, EVALUATION = 96, 256, 640
_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
T = TypeVar("T")


class Allowance:
    """The database's limit, which falls while there is only work that needs little.

    Args:
        most: what it was given, such as `2GB`.
        set_limit: makes a limit hold, for the whole database.
    """

    def __init__(self, most: str, set_limit: Callable[[str], None]) -> None:
        self._most = most
        self._set = set_limit
        self._lock = threading.Lock()
        self._sparing: Counter[int] = Counter()
        self._ample = 0
        self._low: int | None = None
        self._lacking: set[str] = set()

    @contextmanager
    def sparing(self, mib: int, *, wanted: bool = True) -> Iterator[None]:
        """Keep to so much memory for the time of a block, if that is wanted; the most of several such counts."""
        with self._counted(mib if wanted else None, 0):
            yield

    @contextmanager
    def ample(self) -> Iterator[None]:
        """Have all there is for the time of a block, whoever spares meanwhile."""
        with self._counted(None, 1):
            yield

    def tried(self, mib: int, what: str, work: Callable[[], T]) -> T:
        """Do something with so much memory; what lacked it is done again with all there is, and so from then on.

        Args:
            mib: how much.
            what: what is done: the same words for the same work.
            work: does it; it must be able to begin again.
        """
        if what not in self._lacking:
            try:
                with self.sparing(mib):
                    return work()
            except (duckdb.OutOfMemoryException, StoreError) as exc:
                if not lacked_memory(exc):
                    raise
            log.warning("done again with more memory", what=what, mib=mib)
            self._lacking.add(what)
        with self.ample():
            return work()

    @contextmanager
    def _counted(self, sparing: int | None, ample: int) -> Iterator[None]:
        self._add(sparing, 1, ample)
        try:
            yield
        finally:
            self._add(sparing, -1, -ample)

    def _add(self, sparing: int | None, count: int, ample: int) -> None:
        with self._lock:
            self._ample += ample
            if sparing is not None:
                self._sparing[sparing] += count
            enough = max((+self._sparing).keys(), default=None)
            low = None if self._ample or enough is None or enough * 2**20 >= _bytes(self._most) else enough
            if low != self._low:
                self._fit(low)

    def _fit(self, low: int | None) -> None:
        try:
            self._set(self._most if low is None else f"{low}MiB")
        except duckdb.Error:
            return  # more than that is in use and cannot be put on disk, or the database is closing
        self._low = low


def lacked_memory(exc: BaseException) -> bool:
    """Whether an error is that the database's memory did not do."""
    return isinstance(exc, duckdb.OutOfMemoryException) or isinstance(exc.__cause__, duckdb.OutOfMemoryException)


def _bytes(text: str) -> float:
    """A size as DuckDB reads it."""
    found = re.fullmatch(r"\s*([0-9.]+)\s*([KMGT]i?B)\s*", text, re.IGNORECASE)
    return float(found[1]) * _UNITS[found[2].upper()] if found else 0
