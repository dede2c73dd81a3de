"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outputs.publishing import engine_of, file_output, list_output, publish, row
from tipline.engine import atomic
from tipline.engine.core import Engine
from tipline.engine.listfiles import write_files
from tipline.engine.outfiles import write
from tipline.errors import StoreError

ROWS = [row("ipv4", "1.1.1.0-1.1.1.32"), row("domain", "a.example")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "out"
    made.mkdir()
    return made


@pytest.fixture
def engine(tmp_path: Path, folder: Path) -> Iterator[Engine]:
    outputs = [
        file_output("inside", path="lists/deep/block.txt", tr=True),
        file_output("outside", path=str(folder / "block.csv"), format="csv", fields=["indicator", "type"], mode="0640"),
        file_output("nowhere", path=str(tmp_path / "missing" / "x.txt")),
    ]
    with engine_of(tmp_path, *outputs) as made:
        yield made


def left_over(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name.startswith(atomic.UNFINISHED)]


def test_a_file_is_written_where_and_as_its_settings_say(engine: Engine, folder: Path) -> None:
    publish(engine, "inside", ROWS)
    publish(engine, "outside", ROWS)
    inside, outside = write(engine, "inside"), write(engine, "outside")
    assert inside.path == engine.data / "lists" / "deep" / "block.txt"
    assert inside.path.read_text() == "a.example\n1.1.1.0/27\n1.1.1.32\n"
    assert inside.path.stat().st_mode & 0o777 == 0o644
    assert outside.path.read_bytes() == b"indicator,type\r\na.example,domain\r\n1.1.1.0-1.1.1.32,IPv4\r\n"
    assert outside.path.stat().st_mode & 0o777 == 0o640
    assert left_over(folder) == []


def test_a_file_that_holds_it_already_is_left_untouched(engine: Engine, folder: Path) -> None:
    publish(engine, "outside", ROWS)
    assert write(engine, "outside").replaced
    before = (folder / "block.csv").stat()
    assert not write(engine, "outside").replaced
    assert (folder / "block.csv").stat().st_ino == before.st_ino
    (folder / "block.csv").chmod(0o600)
    assert write(engine, "outside").replaced
    publish(engine, "outside", ROWS[:1])
    assert write(engine, "outside").replaced
    assert left_over(folder) == []


def test_before_the_first_evaluation_no_empty_file_takes_the_place(engine: Engine, folder: Path) -> None:
    (folder / "block.csv").write_text("of an earlier installation")
    with pytest.raises(StoreError, match="not been evaluated"):
        write(engine, "outside")
    assert (folder / "block.csv").read_text() == "of an earlier installation"
    publish(engine, "outside", [])
    assert write(engine, "outside").replaced


def test_links_are_not_followed(engine: Engine, folder: Path, tmp_path: Path) -> None:
    publish(engine, "outside", ROWS)
    publish(engine, "inside", ROWS)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "block.csv").symlink_to(victim)
    with pytest.raises(StoreError, match="symbolic link"):
        write(engine, "outside")
    (engine.data / "lists").symlink_to(folder)
    with pytest.raises(StoreError, match="symbolic link"):
        write(engine, "inside")
    assert victim.read_text() == "precious"
    assert left_over(folder) == []


def test_a_folder_or_a_pipe_is_not_replaced(engine: Engine, folder: Path) -> None:
    publish(engine, "outside", ROWS)
    os.mkfifo(folder / "block.csv")
    with pytest.raises(StoreError, match="no regular file"):
        write(engine, "outside")


def test_a_full_disk_leaves_the_old_file(engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(engine, "outside", ROWS)
    write(engine, "outside")
    old = (folder / "block.csv").read_bytes()
    publish(engine, "outside", ROWS[1:])

    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StoreError, match="the disk is full; the old file stays") as caught:
        write(engine, "outside")
    assert "block.csv" in caught.value.where
    assert not write_files(engine, "outside")
    assert (folder / "block.csv").read_bytes() == old
    assert left_over(folder) == []


def test_a_missing_folder_outside_is_not_made(engine: Engine, tmp_path: Path) -> None:
    publish(engine, "nowhere", ROWS)
    with pytest.raises(StoreError, match="folder does not exist"):
        write(engine, "nowhere")
    assert not (tmp_path / "missing").exists()
    assert not write_files(engine, "nowhere")


def test_an_output_that_is_no_file_is_refused(engine: Engine) -> None:
    engine.graph.outputs["inside"] = list_output("inside")
    with pytest.raises(StoreError, match="no file output"):
        write(engine, "inside")
