"""The control database: migrated, refused when newer or damaged, and clear when it cannot be written."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tipline.errors import StoreError
from tipline.store.control import FILE, METADATA, Control, integrity
from tipline.store.records import audit, prune

NOW = datetime.fromisoformat("2026-01-01")


def execute(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as con:
        con.execute(sql)
    con.close()


def test_migrations_make_what_the_program_uses(tmp_path: Path) -> None:
    control = Control(tmp_path)
    with control.reading() as con:
        assert compare_metadata(MigrationContext.configure(con), METADATA) == []
    assert integrity(control) == "ok"
    control.close()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    Control(tmp_path).close()
    before = (tmp_path / FILE).read_bytes()
    Control(tmp_path).close()
    assert (tmp_path / FILE).read_bytes() == before


def test_a_newer_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Control(tmp_path).close()
    execute(tmp_path / FILE, "UPDATE alembic_version SET version_num = '9999'")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError, match=r"newer tipline \(revision 9999\)") as found:
        Control(tmp_path)
    assert (found.value.where, "upgrade" in found.value.fix) == (str(tmp_path / FILE), True)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="cannot be used") as found:
        Control(tmp_path)
    assert (found.value.where, "backup" in found.value.fix) == (str(tmp_path / FILE), True)
    assert (tmp_path / FILE).read_bytes() == b"garbage" * 1000


def test_what_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    control = Control(tmp_path)
    execute(tmp_path / FILE, "DROP TABLE audit")
    with pytest.raises(StoreError, match=r"refused: no such table: audit.*disk space") as found:
        audit(control, NOW, "u", "t", "add", "x", {})
    assert found.value.where == str(tmp_path / FILE)
    control.close()


def test_durable(tmp_path: Path) -> None:
    """A commit is on the disk before a far side is told of anything."""
    control = Control(tmp_path)
    with control.reading() as con:
        assert con.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert con.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    control.close()


def test_pruning_an_empty_database(tmp_path: Path) -> None:
    control = Control(tmp_path)
    prune(control, NOW)
    control.close()
