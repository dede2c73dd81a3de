"""When time alone will next change something among a source's claims: known until its next commit.

Claims expire and grow old at moments that are written in them. Looking through all claims of all sources at every
tick for those whose moment has come would cost more than anything else an idle server does.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from tipline.engine.times import literal
from tipline.store.schema import claims_table

# Before every moment that a claim may have.
EVER = datetime.fromisoformat("0001-01-01")


@dataclass(frozen=True)
class _Known:
    """No moment lies in (since, until]; without an end, none after `since`."""

    commit: int
    since: datetime
    until: datetime | None


@dataclass
class Moments:
    """What is known of the moments in sources' claims (any thread)."""

    _known: dict[tuple[int, tuple[str, ...], str], _Known] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passed(
        self,
        con: duckdb.DuckDBPyConnection,
        source: int,
        commit: int,
        moments: Sequence[str],
        before: datetime,
        now: datetime,
        among: str = "TRUE",
    ) -> bool:
        """Whether one of the moments of a source's claims may lie in (before, now].

        Args:
            con: an open transaction.
            source: the source's number.
            commit: its last commit, as the transaction sees it.
            moments: SQL of each, by the columns of a claim.
            before: after this.
            now: until this.
            among: which claims count.
        """
        if not moments or now <= before:
            return False
        what = (source, tuple(moments), among)
        with self._lock:
            known = self._known.get(what)
        if known is None or known.commit != commit or before < known.since:
            known = _Known(commit, before, self._next(con, source, moments, before, among))
        passed = known.until is not None and known.until <= now
        if passed:
            known = _Known(commit, now, self._next(con, source, moments, now, among))
        with self._lock:
            self._known[what] = known
        return passed

    @staticmethod
    def _next(
        con: duckdb.DuckDBPyConnection, source: int, moments: Sequence[str], after: datetime, among: str
    ) -> datetime | None:
        """The first moment after another."""
        firsts = ", ".join(f"min({moment}) FILTER ({moment} > {literal(after)})" for moment in moments)
        row = con.execute(f"SELECT {firsts} FROM {claims_table(source)} WHERE {among}").fetchone()
        return min((moment for moment in row or () if moment is not None), default=None)
