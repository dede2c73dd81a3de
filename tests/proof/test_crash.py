"""Killed at random moments while polling and delivering: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os

from proof.crash import run


def test_killed_at_random_moments() -> None:
    """`TIPLINE_CRASH_KILLS=200` kills as often; `python -m proof.crash --kills 1000` tells about it."""
    kills = int(os.environ.get("TIPLINE_CRASH_KILLS", "12"))
    seen = run(kills, seed=int(os.environ.get("TIPLINE_CRASH_SEED", "1")))
    assert seen["steps"] >= kills / 2
    assert seen["published"]
