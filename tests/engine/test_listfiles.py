"""Prepared files of lists: which version they hold, who makes them, and when they go."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from outputs.publishing import START, engine_of, list_output, publish, row
from tipline.engine import listfiles
from tipline.engine.core import Engine
from tipline.engine.listfiles import DEFAULT, FOLDER, ListFiles, NotReadyError, list_files, write_files
from tipline.engine.prepared import Prepared, load
from tipline.outputs.render import Dialect
from tipline.outputs.render.dialect import dialect, parse_field

JSON = dialect("json")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_of(tmp_path, list_output("x")) as made:
        yield made


def domains(*names: str) -> list[dict[str, Any]]:
    return [row("domain", f"{name}.example") for name in names]


def text(engine: Engine, how: Dialect = DEFAULT) -> str:
    return list_files(engine).obtain("x", how)[0].path.read_text()


def names(engine: Engine, suffix: str = "") -> list[str]:
    return sorted(file.name for file in (engine.data / FOLDER / "x").iterdir() if file.name.endswith(suffix))


def break_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(listfiles, "render", full)


def test_one_engine_has_one(engine: Engine) -> None:
    assert list_files(engine) is list_files(engine)


def test_before_the_first_evaluation_there_is_no_list(engine: Engine) -> None:
    assert not write_files(engine, "x")
    with pytest.raises(NotReadyError, match="not been evaluated"):
        list_files(engine).obtain("x", DEFAULT)
    publish(engine, "x", [])
    assert text(engine) == ""


def test_requests_get_the_version_that_was_prepared(engine: Engine) -> None:
    publish(engine, "x", domains("a"))
    assert write_files(engine, "x")
    publish(engine, "x", domains("a", "b"))
    assert text(engine) == "a.example\n"
    assert write_files(engine, "x")
    assert text(engine) == "a.example\nb.example\n"


def test_what_was_asked_for_is_prepared_with_the_next_version(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(engine, "x", domains("a"))
    files = list_files(engine)
    for encoding in ("identity", "gzip", "zstd"):
        files.obtain("x", JSON, encoding)
    publish(engine, "x", domains("b"))
    write_files(engine, "x")
    break_rendering(monkeypatch)
    prepared = files.peek("x", JSON, "gzip")
    assert prepared is not None
    assert prepared.version.seq == 2
    plain = prepared.path.read_bytes()
    assert b"b.example" in plain
    assert gzip.decompress(prepared.file("gzip").read_bytes()) == plain
    assert zstandard.ZstdDecompressor().decompress(prepared.file("zstd").read_bytes()) == plain


def test_older_versions_go_but_whoever_reads_one_reads_on(engine: Engine) -> None:
    publish(engine, "x", domains("a"))
    prepared, _ = list_files(engine).obtain("x", DEFAULT)
    with prepared.path.open() as reading:
        publish(engine, "x", domains("b"))
        write_files(engine, "x")
        assert not prepared.path.exists()
        assert reading.read() == "a.example\n"
    assert [name.partition("-")[0] for name in names(engine)] == ["2", "2"]


def test_a_list_that_cannot_be_prepared_stays_as_it_was(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(engine, "x", domains("a"))
    write_files(engine, "x")
    publish(engine, "x", [])
    with monkeypatch.context() as patch:
        break_rendering(patch)
        assert not write_files(engine, "x")
        prepared, warning = list_files(engine).obtain("x", DEFAULT)
        assert prepared.path.read_text() == "a.example\n"
        assert warning
        assert "space" not in warning
        assert list_files(engine).problems() == {"x": warning}
    list_files(engine)._shelves["x"].retry_at = 0
    prepared, warning = list_files(engine).obtain("x", DEFAULT)
    assert (prepared.path.read_text(), warning) == ("", "")
    assert list_files(engine).problems() == {}


def test_a_failure_is_not_tried_again_by_every_request(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(engine, "x", domains("a"))
    write_files(engine, "x")
    tries = []

    def full(*_: Any) -> None:
        tries.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(listfiles, "render", full)
    for _ in range(5):
        with pytest.raises(NotReadyError, match="could not be prepared"):
            list_files(engine).obtain("x", JSON)
    assert len(tries) == 1
    assert list_files(engine).obtain("x", DEFAULT)[1] == ""


def test_a_herd_has_a_file_made_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(engine, "x", domains("a"))
    write_files(engine, "x")
    made = []
    started, render = threading.Barrier(8), listfiles.render

    def slow(*arguments: Any) -> Any:
        made.append(1)
        return render(*arguments)

    def ask() -> Prepared:
        started.wait()
        return list_files(engine).obtain("x", JSON)[0]

    monkeypatch.setattr(listfiles, "render", slow)
    with ThreadPoolExecutor(8) as pool:
        found = [future.result() for future in [pool.submit(ask) for _ in range(8)]]
    assert len(made) == 1
    assert len({each.tag for each in found}) == 1


def test_after_a_restart_the_same_file_has_the_same_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_of(tmp_path, list_output("x")) as engine:
        publish(engine, "x", domains("a"))
        before, _ = list_files(engine).obtain("x", JSON, "gzip")
    break_rendering(monkeypatch)
    with engine_of(tmp_path, list_output("x")) as engine:
        after, warning = list_files(engine).obtain("x", JSON, "gzip")
        assert (after, warning) == (before, "")


def test_the_tag_tells_versions_dialects_and_histories_apart(engine: Engine) -> None:
    tags = set()
    hows = [
        DEFAULT,
        Dialect(cidrs=True),
        JSON,
        dialect("csv"),
        dialect("csv", header=False),
        dialect("csv", formulas="keep"),
    ]
    for at in (START, START + timedelta(seconds=1)):
        publish(engine, "x", domains("a"), at)
        write_files(engine, "x")
        tags |= {list_files(engine).obtain("x", how)[0].tag for how in hows}
    # A backup was restored: the same number, but another change.
    with engine.lake.writing() as con:
        con.execute("UPDATE output_state SET seq = 1")
    publish(engine, "x", domains("b"), START + timedelta(days=1))
    files = ListFiles(engine)
    assert {files.obtain("x", how)[0].tag for how in hows}.isdisjoint(tags)
    assert files.obtain("x", DEFAULT)[0].path.read_text() == "b.example\n"


def test_options_that_a_format_does_not_know_make_no_difference() -> None:
    fields = (parse_field("indicator"),)
    assert dialect("plain", fields, header=False, bom=True, formulas="keep") == DEFAULT
    assert dialect("json", fields, header=False, bom=True, formulas="keep") == dialect("json", fields)
    assert dialect("csv") == dialect("csv", fields)


def test_strangers_cannot_fill_the_disk_with_dialects(engine: Engine) -> None:
    publish(engine, "x", domains("a"))
    write_files(engine, "x")
    for number in range(40):
        list_files(engine).obtain("x", dialect("csv", (("indicator", f"c{number}"),)))
    assert len(names(engine, ".meta")) <= 24
    assert list_files(engine).peek("x", DEFAULT) is not None


def test_files_of_lists_that_are_gone_go(tmp_path: Path) -> None:
    with engine_of(tmp_path, list_output("x")) as engine:
        publish(engine, "x", domains("a"))
        write_files(engine, "x")
    with engine_of(tmp_path, list_output("y")) as engine:
        publish(engine, "y", domains("a"))
        write_files(engine, "y")
        assert [folder.name for folder in (engine.data / FOLDER).iterdir()] == ["y"]


def test_damaged_files_are_not_served(tmp_path: Path) -> None:
    with engine_of(tmp_path, list_output("x")) as engine:
        publish(engine, "x", domains("a"))
        prepared, _ = list_files(engine).obtain("x", DEFAULT)
    prepared.path.write_text("a.exa")
    assert load(prepared.path.with_suffix(".meta")) is None
    with engine_of(tmp_path, list_output("x")) as engine:
        assert text(engine) == "a.example\n"
    prepared.path.with_suffix(".meta").write_text('{"version": 1}')
    with engine_of(tmp_path, list_output("x")) as engine:
        assert text(engine) == "a.example\n"


@pytest.mark.parametrize("how", [DEFAULT, dialect("csv"), JSON])
def test_pages_together_are_the_list(engine: Engine, how: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
    from tipline.outputs.render import layout, stream

    monkeypatch.setattr(stream, "_BATCH", 3)
    publish(engine, "x", [row("domain", f"{number:03}.example") for number in range(25)])
    prepared, _ = list_files(engine).obtain("x", how)
    whole, around = prepared.path.read_bytes(), layout(how)
    for size in (1, 4, 7, 25, 100):
        pages = [prepared.page(start, size) for start in range(0, 25, size)]
        records = (b",\n" if around.lead else b"").join(whole[first:end] for first, end in pages)
        assert around.head + records + around.tail == whole
    assert prepared.page(25, 5) == prepared.page(10**18, None)
    assert prepared.page(24, 10**18) == prepared.page(24, 1)


def test_files_are_for_the_program_alone(engine: Engine) -> None:
    publish(engine, "x", domains("a"))
    list_files(engine).obtain("x", DEFAULT, "zstd")
    assert {file.stat().st_mode & 0o777 for file in (engine.data / FOLDER / "x").iterdir()} == {0o600}
