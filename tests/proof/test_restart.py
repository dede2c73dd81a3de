"""A process that dies between two of its stores: the next one finds what is missing and makes it good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proof.bench import Bench, bench
from tipline.engine import evaluate, schedule
from tipline.store.records import open_holds

CONFIGURATION = """\
store: {threads: 1}
sources:
  feed: {kind: lines, url: feed.txt, tlp: clear, guard: {enabled: false}}
outputs:
  listed: {kind: list, inputs: feed}
  written: {kind: file, inputs: feed, path: written.txt}
"""


class Died(BaseException):
    """The process dies here."""


def dies(*_: Any, **__: Any) -> Any:
    raise Died


def dies_in_a_round(folder: Path, module: Any, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, bench(folder, CONFIGURATION) as here:
        patch.setattr(module, what, dies)
        with pytest.raises(Died):
            here.round()


def written(here: Bench) -> set[str]:
    return set((here.engine.data / "written.txt").read_text().split())


def feed(folder: Path, count: int) -> set[str]:
    values = {f"host{number}.com" for number in range(count)}
    (folder / "feed.txt").write_text("\n".join(values))
    return values


@pytest.fixture
def serve(tmp_path: Path) -> Callable[[int], set[str]]:
    feed(tmp_path, 40)
    with bench(tmp_path, CONFIGURATION) as here:
        here.round()
    return lambda count: feed(tmp_path, count)


def test_died_before_files_were_written(
    tmp_path: Path, serve: Callable[[int], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set is published and its files are old; nothing changes any more, and still they are written."""
    values = serve(41)
    dies_in_a_round(tmp_path, schedule, "write_files", monkeypatch)
    with bench(tmp_path, CONFIGURATION) as here:
        assert written(here) != values
        here.round()
        assert written(here) == here.published("listed") == here.published_in_store("written") == values


def test_died_before_an_outputs_hold_was_noted(
    tmp_path: Path, serve: Callable[[int], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(10)
    dies_in_a_round(tmp_path, evaluate, "set_hold", monkeypatch)
    with bench(tmp_path, CONFIGURATION) as here:
        here.round()
        assert {(hold["node"], hold["count"]) for hold in open_holds(here.engine.control)} == {
            ("listed", 30),
            ("written", 30),
        }
        assert len(written(here)) == len(here.published()) == 40


def test_died_before_an_outputs_hold_was_ended(
    tmp_path: Path, serve: Callable[[int], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(10)
    with bench(tmp_path, CONFIGURATION) as here:
        here.round()
    values = serve(40)
    dies_in_a_round(tmp_path, evaluate, "end_hold", monkeypatch)
    with bench(tmp_path, CONFIGURATION) as here:
        here.round()
        assert open_holds(here.engine.control) == []
        assert here.published() == values
