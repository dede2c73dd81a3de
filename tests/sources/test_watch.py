"""The watched folder: complete files only, each once, put aside by what became of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tipline.config.check import check_text
from tipline.engine.core import Engine
from tipline.errors import FetchError
from tipline.store.schema import claims_table


def engine_of(place: Path, more: str = "") -> Engine:
    text = (
        "sources:\n  w: {kind: watch, folder: drop, pattern: '*.csv', format: csv, expire: never, settle: 0s,"
        " options: {columns: {value: 2}, header: false}" + more + "}\noutputs: {l: {kind: list, inputs: w}}\n"
    )
    (place / "drop").mkdir(exist_ok=True)
    return Engine(check_text(text, place / "tipline.yml").usable())


def values(engine: Engine) -> list[str]:
    with engine.lake.reading() as con:
        rows = con.execute(f"SELECT value FROM {claims_table(engine.graph.ids['w'])} ORDER BY value").fetchall()
    return [value for (value,) in rows]


def drain(engine: Engine) -> list[Any]:
    results = [engine.poll("w")]
    while results[-1].more:
        results.append(engine.poll("w"))
    return results


def names(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_each_file_is_read_once_and_put_aside(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    with engine_of(tmp_path) as engine:
        (drop / "1.csv").write_text("x,a.example.com\n")
        (drop / "2.csv").write_text("x,b.example.com\nx,10.0.0.1\n")
        (drop / "3.csv").write_text("<html>")
        (drop / "4.txt").write_text("x,d.example.com\n")
        (drop / ".5.csv").write_text("x,e.example.com\n")
        results = drain(engine)
        assert [result.message for result in results] == ["file 1.csv", "file 2.csv", "file 3.csv"]
        assert results[1].ledger.dropped == {"not-routable": 1}
        assert results[2].ledger.dropped == {"unreadable": 1}
        assert values(engine) == ["a.example.com", "b.example.com"]
        assert names(drop) == {"done/1.csv", "done/2.csv", "failed/3.csv", "4.txt", ".5.csv"}
        (drop / "1.csv").write_text("x,again.example.com\n")
        drain(engine)
        assert "done/1.csv.1" in names(drop)
        assert "again.example.com" in values(engine)


@pytest.mark.parametrize(("after", "left"), [("delete", set()), ("keep", {"1.csv"})])
def test_what_becomes_of_files(tmp_path: Path, after: str, left: set[str]) -> None:
    drop = tmp_path / "drop"
    with engine_of(tmp_path, f", after: {after}") as engine:
        (drop / "1.csv").write_text("x,a.example.com\n")
        drain(engine)
        assert names(drop) == left
        assert engine.poll("w").state == "unchanged"
        (drop / "1.csv").write_text("x,changed.example.com\n")
        drain(engine)
        assert values(engine) == ["a.example.com", "changed.example.com"]


def test_a_file_that_is_still_written_waits(tmp_path: Path) -> None:
    with engine_of(tmp_path, "") as engine:
        settings = engine.graph.sources["w"].settings
        object.__setattr__(settings, "settle", settings.every)
        file = tmp_path / "drop" / "1.csv"
        file.write_text("x,a.example.com\n")
        assert engine.poll("w").state == "unchanged"
        object.__setattr__(settings, "settle", settings.every * 0)
        assert engine.poll("w").state == "ok"


def test_links_pipes_and_folders_are_left_alone(tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    (tmp_path / "secret.csv").write_text("x,secret.example.com\n")
    with engine_of(tmp_path) as engine:
        (drop / "link.csv").symlink_to(tmp_path / "secret.csv")
        (drop / "folder.csv").mkdir()
        os.mkfifo(drop / "pipe.csv")
        assert engine.poll("w").state == "unchanged"
        assert values(engine) == []


def test_a_death_between_commit_and_move_reads_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = tmp_path / "drop"
    with engine_of(tmp_path) as engine:
        (drop / "1.csv").write_text("x,a.example.com\n")
        monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError("died")))
        drain(engine)
        monkeypatch.undo()
        assert names(drop) == {"1.csv"}
        assert engine.poll("w").state == "unchanged"
        assert names(drop) == {"done/1.csv"}


def test_a_missing_folder_fails(tmp_path: Path) -> None:
    with engine_of(tmp_path) as engine:
        (tmp_path / "drop").rmdir()
        result = engine.poll("w")
        assert result.state == "failed"
        assert "no such folder" in result.message
    assert FetchError.code == "fetch"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (", format: nonsense", "reads no bodies"),
        (", format: local", "reads no bodies"),
        (", options: {url: x}", "no setting 'url'"),
        (", options: {columns: {value: 0}}", "options"),
        (", pattern: ../x", "without /"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, more: str, words: str) -> None:
    text = (
        f"sources: {{w: {{kind: watch, folder: d, expire: never{more}}}}}\noutputs: {{l: {{kind: list, inputs: w}}}}\n"
    )
    assert words in " ".join(str(problem) for problem in check_text(text, tmp_path / "t.yml").problems)
