"""A small installation: two feeds from files, entries by hand, two lists and a Defender output."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

import tipline
from sources.conftest import serve, web
from tipline.cli import run

__all__ = ["serve", "web"]

CONFIG = """\
instance: test
http: {{host: 127.0.0.1, port: 0}}
sources:
  feed:
    kind: lines
    url: file://{folder}/feed.txt
    confidence: 80
    tlp: clear
  cert:
    kind: csv
    url: file://{folder}/cert.csv
    header: false
    columns: {{value: 2}}
    tlp: clear
  by-hand: {{kind: local, tlp: clear}}
processors:
  inbound: {{kind: aggregate, inputs: [feed, cert, by-hand]}}
outputs:
  high: {{kind: list, inputs: inbound, where: confidence >= 75}}
  all: {{kind: list, inputs: inbound}}
  defender: {{kind: microsoft-defender, inputs: inbound}}
"""
FEED = "198.18.0.1\n5.6.7.0/24\nevil.example.com\nhttps://bad.example.net/x.exe\n1.2.3.4\n"


@dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


Command = Callable[..., Answer]
Serving = Callable[..., AbstractContextManager[dict[str, Any]]]


def write_installation(folder: Path) -> None:
    """A configuration and its feeds."""
    (folder / "tipline.yml").write_text(CONFIG.format(folder=folder))
    (folder / "feed.txt").write_text(FEED)
    (folder / "cert.csv").write_text("a,9.9.9.10\nb,evil2.example.com\n")


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Commands set logging up for their process: other tests share ours."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in."""
    write_installation(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIPLINE_CONFIG", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def after_first_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the installation after its first round: made once, copied for each test."""
    folder = tmp_path_factory.mktemp("template")
    write_installation(folder)
    assert run(["run", "--once", "--json", "--config", str(folder / "tipline.yml")]) == 0
    return folder / "data"


@pytest.fixture
def filled(place: Path, after_first_round: Path) -> Path:
    """The folder that commands run in, after the first round."""
    shutil.copytree(after_first_round, place / "data")
    return place


@pytest.fixture
def tipline_(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process."""

    def call(*arguments: str) -> Answer:
        capsys.readouterr()
        code = run(list(arguments))
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def serving(place: Path, spawn_environment: dict[str, str]) -> Serving:
    """Runs `serve` or `run` in a process of its own: a context that yields what it printed, and stops it."""
    return partial(_serving, place, spawn_environment)


@contextmanager
def _serving(place: Path, environment: dict[str, str], *arguments: str) -> Iterator[dict[str, Any]]:
    with (
        (place / "server.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", "from tipline.cli import main; main()", *arguments, "--json"],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout
            first = process.stdout.readline()
            assert first, (place / "server.log").read_text()
            yield {**json.loads(first), "process": process}
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def spawn_environment() -> dict[str, str]:
    """An environment in which a new interpreter finds the package."""
    package = str(Path(tipline.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}
