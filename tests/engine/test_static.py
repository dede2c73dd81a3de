"""Lists as files in folders: complete, told in the index, gone with their output; failures are told and mended."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import httpx
import pytest
import zstandard

from programs import nginx, soon
from tipline.config.check import check_text
from tipline.engine.conditions import conditions
from tipline.engine.core import Engine
from tipline.engine.listfiles import ListFiles, NotReadyError, write_files
from tipline.engine.people import Entry, People
from tipline.engine.static import publisher


def text(target: Path, extra: str = "") -> str:
    return (
        "sources: {by-hand: {kind: local, tlp: clear}}\n"
        "outputs:\n"
        "  block: {kind: list, inputs: by-hand, publish_to: [{to: '" + str(target) + "',"
        " formats: [plain, csv, edl-ip], compress: [gz, zst]}]}\n" + extra
    )


def engine_of(place: Path, configuration: str) -> Engine:
    return Engine(check_text(configuration, place / "tipline.yml").usable())


def add(engine: Engine, *values: str) -> None:
    People(engine).add([Entry(value) for value in values], source=None, team="default", user="me")
    for each in engine.evaluate():
        write_files(engine, each.output)


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


PLAIN = {"block.txt", "block.txt.gz", "block.txt.zst"}
OTHERS = {f"block.{middle}{end}" for middle in ("csv", "edl-ip.txt") for end in ("", ".gz", ".zst")}


def test_a_folder_holds_what_the_list_says(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    with engine_of(tmp_path, text(folder)) as engine:
        add(engine, "8.8.4.4", "bad.example.com")
        publisher(engine).cycle()
        assert names(folder) == {*PLAIN, *OTHERS, "index.json"}
        plain = (folder / "block.txt").read_bytes()
        assert sorted(plain.split()) == [b"8.8.4.4", b"bad.example.com"]
        assert gzip.decompress((folder / "block.txt.gz").read_bytes()) == plain
        packed = (folder / "block.txt.zst").read_bytes()
        assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == plain
        assert (folder / "block.edl-ip.txt").read_text() == "8.8.4.4\n"
        index = {each["file"]: each for each in json.loads((folder / "index.json").read_text())["files"]}
        assert set(index) == {*PLAIN, *OTHERS}
        assert (index["block.txt"]["records"], index["block.txt"]["bytes"]) == (2, len(plain))
        assert (folder / "block.txt").stat().st_mode & 0o777 == 0o644
        before = (folder / "block.txt").stat().st_ino
        publisher(engine).cycle()
        assert (folder / "block.txt").stat().st_ino == before
        add(engine, "8.8.8.8")
        publisher(engine).cycle()
        assert len((folder / "block.txt").read_bytes().split()) == 3


def test_files_go_with_their_output_and_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    with engine_of(tmp_path, text(folder)) as engine:
        add(engine, "8.8.4.4")
        publisher(engine).cycle()
    (folder / "mine.html").write_text("x")
    with engine_of(
        tmp_path, "sources: {by-hand: {kind: local}}\noutputs: {l: {kind: list, inputs: by-hand}}\n"
    ) as engine:
        publisher(engine).cycle()
        assert names(folder) == {"mine.html"}
        assert publisher(engine).problems() == {}


def test_an_output_without_a_version_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "www"
    with engine_of(tmp_path, text(folder)) as engine:
        publisher(engine).cycle()
        assert not folder.exists()
        add(engine, "8.8.4.4")
        publisher(engine).cycle()

    def broken(*_: object) -> None:
        raise NotReadyError("the disk is full")

    with engine_of(tmp_path, text(folder)) as engine:
        monkeypatch.setattr(ListFiles, "obtain", broken)
        publisher(engine).cycle()
        assert names(folder) >= PLAIN


def test_what_fails_is_an_alert_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    folder.write_text("in the way")
    other = "  more: {kind: list, inputs: by-hand, publish_to: [{to: '" + str(tmp_path / "ok") + "'}]}\n"
    with engine_of(tmp_path, text(folder, other)) as engine:
        add(engine, "8.8.4.4")
        publisher(engine).cycle()
        assert "more.txt" in names(tmp_path / "ok")
        told = [each for each in conditions(engine) if "not published" in each.name]
        assert [each.name for each in told] == [f"files at {folder} not published"]
        folder.unlink()
        publisher(engine).cycle()
        assert names(folder) >= PLAIN
        assert not [each for each in conditions(engine) if "not published" in each.name]


@pytest.mark.parametrize("to", ["relative/path", "/a/../b", "ftp://x/y", "s3://"])
def test_targets_that_cannot_be_are_refused(tmp_path: Path, to: str) -> None:
    configuration = text(tmp_path).replace(str(tmp_path), to)
    assert check_text(configuration, tmp_path / "t.yml").errors


def test_nginx_serves_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    with engine_of(tmp_path, text(folder)) as engine:
        add(engine, "8.8.4.4")
        publisher(engine).cycle()
    with nginx(tmp_path, "types { text/plain txt; }", f"root {folder}; gzip_static on;") as url:
        packed = {"Accept-Encoding": "gzip"}
        answer = soon(lambda: httpx.get(f"{url}/block.txt", headers=packed), httpx.TransportError)
        assert (answer.status_code, answer.text) == (200, "8.8.4.4\n")
        tag = {"If-None-Match": answer.headers["etag"], **packed}
        assert httpx.get(f"{url}/block.txt", headers=tag).status_code == 304
