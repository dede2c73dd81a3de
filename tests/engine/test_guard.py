"""The guards' thresholds: what trips them, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from tipline.engine.claims import Difference
from tipline.engine.guard import (
    ADDITIONS,
    REMOVALS,
    WITHDRAWALS,
    check_allow_list,
    check_evaluation,
    check_poll,
)
from tipline.engine.ledger import Ledger
from tipline.outputs.base import OutputGuard
from tipline.sources.base import GuardSettings


def poll(
    present: int,
    added: int,
    missing: int,
    *,
    read: int | None = None,
    last: float | None = None,
    **settings: Any,
) -> str | None:
    """What the source guard holds; all lines are accepted unless `read` says that there were more."""
    accepted = present - missing + added
    ledger = Ledger(read=accepted if read is None else read, accepted=accepted)
    found = check_poll(GuardSettings(**settings), ledger, Difference(present, added, 0, missing), last)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("present", "added", "missing", "held"),
    [
        (0, 5000, 0, None),  # the first poll
        (1000, 0, 500, None),  # half may go
        (1000, 0, 501, WITHDRAWALS),
        (30, 0, 19, None),  # fewer than 20 may always go
        (30, 0, 20, WITHDRAWALS),
        (5, 0, 5, WITHDRAWALS),  # but never all of it
        (5, 3, 5, None),  # all exchanged, in a small feed
        (100, 900, 0, None),  # tenfold
        (100, 901, 0, ADDITIONS),
        (99, 5000, 0, None),  # a small feed may grow at will
        (1000, 20_000, 600, WITHDRAWALS),  # withdrawals first
    ],
)
def test_source_guard(present: int, added: int, missing: int, held: str | None) -> None:
    assert poll(present, added, missing) == held
    assert poll(present, added, missing, enabled=False) is None


@pytest.mark.parametrize(
    ("read", "last", "held"),
    [(80, 1.0, None), (161, 1.0, WITHDRAWALS), (160, 1.0, None), (800, 0.1, None), (161, None, None)],
)
def test_collapse_of_the_accepted_share(read: int, last: float | None, held: str | None) -> None:
    """80 of `read` lines are accepted, 20 of 100 indicators go."""
    assert poll(100, 0, 20, read=read, last=last) == held


def test_thresholds_are_settings() -> None:
    assert poll(100, 0, 30, max_withdrawn=0.2) == WITHDRAWALS
    assert poll(100, 0, 30, max_withdrawn=0.2, min_withdrawn=31) is None
    assert poll(100, 200, 0, max_growth=2) == ADDITIONS


@pytest.mark.parametrize(
    ("present", "added", "missing", "held"),
    [
        (0, 500, 0, None),
        (100, 50, 0, None),
        (100, 51, 0, ADDITIONS),
        (30, 19, 0, None),
        (30, 20, 0, ADDITIONS),
        (100, 0, 100, None),
    ],
)
def test_allow_list_guard_holds_growth_only(present: int, added: int, missing: int, held: str | None) -> None:
    """What shrinks an allow-list lets nothing through."""
    found = check_allow_list(GuardSettings(), Difference(present, added, 0, missing))
    assert (found[0] if found else None) == held
    assert check_allow_list(GuardSettings(enabled=False), Difference(present, added, 0, missing)) is None


@pytest.mark.parametrize(
    ("published", "added", "removed", "held"),
    [
        (1000, 0, 300, None),
        (1000, 0, 301, REMOVALS),
        (30, 0, 19, None),
        (30, 0, 20, REMOVALS),
        (100, 900, 0, None),
        (100, 901, 0, ADDITIONS),
        (99, 5000, 0, None),
        (0, 5000, 0, None),
    ],
)
def test_output_guard(published: int, added: int, removed: int, held: str | None) -> None:
    found = check_evaluation(OutputGuard(), published, added, removed)
    assert (found[0] if found else None) == held
    assert check_evaluation(OutputGuard(enabled=False), published, added, removed) is None
