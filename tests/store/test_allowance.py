"""The database's memory: little while a large body is taken in, all of it for whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tipline.store.allowance import SPARING_MIB
from tipline.store.lake import Lake


def limit(lake: Lake) -> str:
    with lake.reading() as con:
        row = con.execute("SELECT current_setting('memory_limit')").fetchone()
    assert row
    return str(row[0])


def test_the_limit_falls_while_somebody_spares_and_nobody_needs_more(tmp_path: Path) -> None:
    lake = Lake(tmp_path, memory_limit="1GiB", threads=1)
    with lake.memory.sparing():
        assert limit(lake) == f"{SPARING_MIB}.0 MiB"
        with lake.memory.ample(), lake.memory.sparing():
            assert limit(lake) == "1.0 GiB"
        assert limit(lake) == f"{SPARING_MIB}.0 MiB"
    assert limit(lake) == "1.0 GiB"
    with lake.memory.sparing(wanted=False):
        assert limit(lake) == "1.0 GiB"
    lake.close()


@pytest.mark.parametrize("given", ["64MiB", "50MB"])
def test_a_limit_below_that_stays(given: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path, memory_limit=given, threads=1)
    before = limit(lake)
    with lake.memory.sparing():
        assert limit(lake) == before
    lake.close()
