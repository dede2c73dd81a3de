"""Every kind of feed on hostile bodies: the documented error or a balanced account, never another exception or a hang.

`TIPLINE_EXAMPLES=20000 pytest tests/formats/test_hostile_bodies.py` looks longer; `make fuzz` is guided by coverage.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formats.hostile import NASTY, SEEDS, judge, within
from tipline.sources.bodies import feed_kinds

_EXAMPLES = int(os.environ.get("TIPLINE_EXAMPLES", "25"))
_ALL = [seed for seeds in SEEDS.values() for seed in seeds]


@st.composite
def bodies(draw: st.DrawFn, kind: str) -> bytes:
    """A seed with pieces put in, taken out, repeated or overwritten; or plain noise."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=400))
    body = draw(st.sampled_from(SEEDS.get(kind, _ALL) * 3 + _ALL))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 60)))
        piece = draw(
            st.one_of(st.sampled_from(NASTY), st.binary(max_size=20), st.just(body[start:end] * 3), st.just(b""))
        )
        body = body[:start] + piece + body[draw(st.sampled_from((start, end))) :]
    return body


@pytest.mark.parametrize("kind", sorted(feed_kinds()))
def test_hostile_bodies(kind: str, tmp_path: Path) -> None:
    @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies(kind))
    def each(body: bytes) -> None:
        with within():
            judge(kind, body, tmp_path)

    each()


@pytest.mark.parametrize("kind", sorted(feed_kinds()))
@pytest.mark.parametrize("unit", NASTY, ids=range(len(NASTY)))
def test_a_great_deal_of_one_thing(kind: str, unit: bytes, tmp_path: Path) -> None:
    """What is quadratic or deep shows itself."""
    with within():
        judge(kind, unit * (200_000 // len(unit)), tmp_path)


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_the_seeds_are_read(kind: str, tmp_path: Path) -> None:
    assert sum(judge(kind, seed, tmp_path) for seed in SEEDS[kind]) > 0
