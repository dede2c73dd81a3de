"""One process owns a data directory; the others learn where it listens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tipline.errors import StoreError
from tipline.store.lock import SERVER, DirectoryLock, announce, running


def test_a_directory_is_held_once(tmp_path: Path) -> None:
    first = DirectoryLock(tmp_path / "data")
    with pytest.raises(StoreError, match=rf"another tipline \(process {os.getpid()}\) has the data directory"):
        DirectoryLock(tmp_path / "data")
    first.release()
    DirectoryLock(tmp_path / "data").release()


def test_it_is_private(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path / "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    announce(tmp_path / "data", "http://127.0.0.1:1", "token")
    assert (tmp_path / "data" / SERVER).stat().st_mode & 0o777 == 0o600
    lock.release()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="data directory cannot be used") as found:
        DirectoryLock(tmp_path / "file" / "data")
    assert found.value.where == str(tmp_path / "file" / "data")
    assert "data:" in found.value.fix


def test_others_learn_where_the_owner_listens(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    lock = DirectoryLock(tmp_path)
    assert running(tmp_path) is None
    announce(tmp_path, "http://127.0.0.1:1234", "token")
    assert running(tmp_path) == {"pid": os.getpid(), "url": "http://127.0.0.1:1234", "token": "token"}
    (tmp_path / SERVER).write_text("{")
    assert running(tmp_path) is None
    lock.release()
    assert running(tmp_path) is None


def test_what_a_dead_owner_left_is_not_believed(tmp_path: Path) -> None:
    lock = DirectoryLock(tmp_path)
    lock.release()
    announce(tmp_path, "http://127.0.0.1:1234", "token")
    assert running(tmp_path) is None
