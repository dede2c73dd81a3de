"""What a poll stages: one row per indicator and record, however often and in whatever order a feed says it."""

from __future__ import annotations

import random

import duckdb
import polars as pl
import pytest

from tipline.engine import stage as staging
from tipline.engine.stage import stage
from tipline.model.policy import Policy


def rows(values: int, times: int) -> list[tuple[str, str, str, str]]:
    """Each value `times` times, with another confidence and time, so that one is the best of its value."""
    return [
        (f"host{value}.com", "domain", str((value + turn) % 101), f"2026-01-{1 + turn % 28:02d}T00:00:00Z")
        for turn in range(times)
        for value in range(values)
    ]


def staged(found: list[tuple[str, str, str, str]], size: int) -> tuple[dict[str, tuple[int, str]], tuple[int, ...]]:
    """Confidence and time that are kept of each value, and the account."""
    frames = [
        pl.DataFrame(found[at : at + size], schema=["value", "type", "confidence", "last_seen"], orient="row")
        for at in range(0, len(found), size)
    ]
    with duckdb.connect() as con:
        ledger = stage(con, frames, Policy())
        kept = con.execute("SELECT value, confidence, last_seen::VARCHAR FROM incoming").fetchall()
    assert len(kept) == len({value for value, _, _ in kept})
    return {value: (score, seen) for value, score, seen in kept}, (ledger.read, ledger.accepted, ledger.duplicate)


@pytest.mark.parametrize("least", [10, 40, 1_000_000])
@pytest.mark.parametrize(("values", "times", "more"), [(5, 60, 0), (5, 2, 200), (50, 1, 0)])
def test_the_best_row_of_each_is_kept_in_any_order(
    monkeypatch: pytest.MonkeyPatch, least: int, values: int, times: int, more: int
) -> None:
    """Where duplicates are few and where they are most of it; taken out at the end, and time and again before."""
    monkeypatch.setattr(staging, "_MANY", least)
    found = rows(values, times) + [(f"other{n}.org", "domain", "50", "2026-01-01T00:00:00Z") for n in range(more)]
    best: dict[str, tuple[int, str]] = {}
    for value, _, score, seen in found:
        mine = (int(score), seen.replace("T", " ").removesuffix("Z"))
        best[value] = max(mine, best.get(value, mine))
    for seed in range(3):
        random.Random(seed).shuffle(found)
        kept, account = staged(found, 7)
        assert kept == best
        assert account == (len(found), len(best), len(found) - len(best))
