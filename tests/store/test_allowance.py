"""The database's memory: as little as the work at hand needs, all of it for whoever lacks some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tipline.errors import StoreError
from tipline.store.allowance import EVALUATION, INTAKE, WRITING
from tipline.store.lake import Lake


@pytest.fixture(name="lake")
def _lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path, memory_limit="1GiB", threads=1)
    yield lake
    lake.close()


def limit(lake: Lake) -> str:
    with lake.reading() as con:
        row = con.execute("SELECT current_setting('memory_limit')").fetchone()
    assert row
    return str(row[0])


def test_the_limit_is_the_most_of_what_is_at_work_needs(lake: Lake) -> None:
    with lake.memory.sparing(INTAKE):
        assert limit(lake) == f"{INTAKE}.0 MiB"
        with lake.memory.sparing(WRITING):
            assert limit(lake) == f"{WRITING}.0 MiB"
            with lake.memory.ample(), lake.memory.sparing(EVALUATION):
                assert limit(lake) == "1.0 GiB"
            with lake.memory.sparing(WRITING):
                pass
            assert limit(lake) == f"{WRITING}.0 MiB"
        assert limit(lake) == f"{INTAKE}.0 MiB"
    assert limit(lake) == "1.0 GiB"
    with lake.memory.sparing(INTAKE, wanted=False):
        assert limit(lake) == "1.0 GiB"


def test_what_lacks_memory_is_done_again_with_all_of_it(lake: Lake) -> None:
    limits: list[str] = []

    def work() -> str:
        limits.append(limit(lake))
        with lake.writing() as con:
            # One value after the other into one list: nothing of that can go to disk.
            found = con.execute("SELECT len(list(repeat('x', 1000) || i)) FROM range(120000) r (i)").fetchone()
        return str(found)

    assert lake.memory.tried(INTAKE, "a list", work) == "(120000,)"
    assert limits == [f"{INTAKE}.0 MiB", "1.0 GiB"]
    assert lake.memory.tried(INTAKE, "a list", work) == "(120000,)"
    assert limits[2:] == ["1.0 GiB"]


@pytest.mark.parametrize("error", [StoreError("the disk is full"), duckdb.IOException("no space")])
def test_what_fails_for_another_reason_is_not_done_again(lake: Lake, error: Exception) -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        lake.memory.tried(INTAKE, "work", work)
    assert (len(calls), limit(lake)) == (1, "1.0 GiB")


@pytest.mark.parametrize("given", ["64MiB", "50MB"])
def test_a_limit_below_that_stays(given: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path, memory_limit=given, threads=1)
    before = limit(lake)
    with lake.memory.sparing(INTAKE):
        assert limit(lake) == before
    lake.close()
