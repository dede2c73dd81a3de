"""The lake: one writer at a time, whole transactions, files that are newer or damaged, a disk that fails."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from tipline.errors import StoreError
from tipline.store.lake import FILE, Lake
from tipline.store.schema import LAKE_VERSION, SHARED, node_tables

NOW = datetime.fromisoformat("2026-01-01")


def count(lake: Lake) -> int:
    with lake.reading() as con:
        return int((con.execute("SELECT count(*) FROM nodes").fetchone() or (0,))[0])


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.writing() as con:
        assert lake.node_id(con, "a", "source", "csv", NOW) == 1
        assert lake.node_id(con, "a", "output", "list", NOW) == 2
        assert lake.node_id(con, "a", "source", "csv", NOW) == 1
    lake.close()
    lake = Lake(tmp_path)
    with lake.reading() as con:
        found = {place: (node.number, node.kind) for place, node in lake.nodes(con).items()}
        assert found == {("source", "a"): (1, "csv"), ("output", "a"): (2, "list")}
    lake.close()


def test_an_error_takes_everything_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(duckdb.Error), lake.writing() as con:
        con.execute(f"SELECT {lake.node_id(con, 'a', 'source', 'csv', NOW)} FROM nothing")
    assert count(lake) == 0
    with lake.writing() as con:
        assert lake.node_id(con, "b", "source", "csv", NOW) == 1
    lake.close()


def test_writers_take_turns_and_readers_see_a_whole_state(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def write() -> None:
        for _ in range(20):
            with lake.writing() as con:
                con.execute("UPDATE meta SET value = (value::INTEGER + 1)::VARCHAR WHERE name = 'count'")
                con.execute("INSERT INTO held VALUES (1, NULL, NULL)")

    with lake.writing() as con:
        con.execute("INSERT INTO meta VALUES ('count', '0')")
    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        with lake.reading() as con:
            (numbers,) = con.execute("SELECT value::INTEGER FROM meta WHERE name = 'count'").fetchone() or (0,)
            (rows,) = con.execute("SELECT count(*) FROM held").fetchone() or (0,)
            assert numbers == rows
    for thread in threads:
        thread.join()
    with lake.reading() as con:
        assert con.execute("SELECT value FROM meta WHERE name = 'count'").fetchone() == ("80",)
    lake.close()


def test_a_node_that_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for sort in ("source", "output"):
        with lake.writing() as con:
            number = lake.node_id(con, "a", sort, "kind", NOW)
            lake.forget_node(con, sort, number)
            tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            assert not tables & set(node_tables(sort, number))
    assert count(lake) == 0
    lake.close()


def test_tables_that_an_older_file_does_not_have_are_made(tmp_path: Path) -> None:
    Lake(tmp_path).close()
    with duckdb.connect(str(tmp_path / FILE)) as con:
        con.execute("DROP TABLE warning_lists")
        con.execute("DROP TABLE warning_log")
    lake = Lake(tmp_path)
    with lake.reading() as con:
        assert con.execute("SELECT (SELECT count(*) FROM warning_lists), (SELECT count(*) FROM warning_log)").fetchall()
        assert con.execute("SELECT value FROM meta WHERE name = 'version'").fetchall() == [(str(LAKE_VERSION),)]
    lake.close()


def test_a_newer_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.writing() as con:
        con.execute("UPDATE meta SET value = ? WHERE name = 'version'", [str(LAKE_VERSION + 1)])
    lake.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError, match=f"newer tipline .layout {LAKE_VERSION + 1}") as found:
        Lake(tmp_path)
    assert (found.value.where, "upgrade" in found.value.fix) == (str(tmp_path / FILE), True)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\x00" * 50_000)
    with pytest.raises(StoreError, match="cannot be opened") as found:
        Lake(tmp_path)
    assert "doctor --recover" in found.value.fix
    assert (tmp_path / FILE).read_bytes() == b"\x00" * 50_000


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    """An extension that is not built in would be downloaded: it is not."""
    lake = Lake(tmp_path)
    with lake.reading() as con, pytest.raises(duckdb.Error):
        con.execute("SELECT * FROM st_read('x')")
    lake.close()


def test_no_column_that_other_engines_do_not_have() -> None:
    """HUGEINT does not survive Parquet and DuckLake; keys and indexes are not there to rely on."""
    made = [*SHARED, *(str(node_tables(sort, 1)) for sort in ("source", "output"))]
    for words in made:
        for forbidden in ("HUGEINT", "PRIMARY", "UNIQUE", "INDEX", "REFERENCES", "SEQUENCE", "ENUM"):
            assert forbidden not in words.upper()


def test_an_instance_that_a_failed_write_ended_is_opened_again(tmp_path: Path) -> None:
    """As after a full disk: once nobody uses the old one any more."""
    lake = Lake(tmp_path)
    with lake.writing() as con:
        lake.node_id(con, "a", "source", "csv", NOW)
    lake._root.close()
    assert count(lake) == 1
    with lake.writing() as con:
        lake.node_id(con, "b", "source", "csv", NOW)
    assert count(lake) == 2
    lake.close()
    with pytest.raises(duckdb.Error):
        lake.connection()


def test_a_trial_is_rolled_back_and_meets_no_other_writer(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.writing() as con:
        con.execute("CREATE TABLE counted AS SELECT 1 AS n")

    def add() -> None:
        with lake.writing() as con:
            con.execute("UPDATE counted SET n = n + 1")

    with ThreadPoolExecutor(1) as pool:
        with lake.trying() as con:
            con.execute("UPDATE counted SET n = 100")
            waiting = pool.submit(add)
        waiting.result()
    with lake.reading() as con:
        assert con.execute("SELECT n FROM counted").fetchall() == [(2,)]
    lake.close()
