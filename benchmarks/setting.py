"""What the rows work on: the feed behind a loopback web server, and an engine on the shared data."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import structlog

from tipline.config.check import check
from tipline.engine.core import Engine

FEED, NEXT = "feed-1.csv", "feed-2.csv"
SERVED = "feed.csv"
_CONFIGURATION = """\
instance: benchmark
data: data
http: {{host: 127.0.0.1, port: 0}}
store: {{threads: 1, memory_limit: 2GB}}
sources:
  feed:
    kind: csv
    url: http://127.0.0.1:{port}/feed.csv
    allow_private: true
    tlp: clear
    columns: {{value: indicator, confidence: confidence, first_seen: first_seen, tags: tag}}
processors:
  inbound: {{kind: aggregate, inputs: feed}}
outputs:
  everything: {{kind: list, inputs: inbound}}
"""


def quiet() -> None:
    """Log errors only: what is measured is the work, and standard output is for the figures."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def configuration(directory: Path) -> Path:
    """The configuration file that all feed rows share."""
    path = directory / "tipline.yml"
    if not path.exists():
        path.write_text(_CONFIGURATION.format(port=port_of(directory)), encoding="utf-8")
    return path


def port_of(directory: Path) -> int:
    """The port that this directory's feed is served on: any that was free at first, the same from then on."""
    note = directory / "port"
    if not note.exists():
        with socket.create_server(("127.0.0.1", 0)) as free:
            note.write_text(str(free.getsockname()[1]), encoding="utf-8")
    return int(note.read_text(encoding="utf-8"))


@contextmanager
def engine(directory: Path) -> Iterator[Engine]:
    """An engine on the shared data directory."""
    quiet()
    with Engine(check(configuration(directory)).usable()) as made:
        yield made


def serve(directory: Path, version: str) -> None:
    """Make a version of the feed the one that is served."""
    served = directory / "www" / SERVED
    served.parent.mkdir(exist_ok=True)
    before = served.stat().st_mtime if served.exists() else 0.0
    served.unlink(missing_ok=True)
    served.hardlink_to(directory / version)
    # HTTP's dates are whole seconds: the next version must be younger by more than one.
    moment = max(before + 2, time.time())
    os.utime(served, (moment, moment))


@contextmanager
def web_server(directory: Path) -> Iterator[None]:
    """Serve the feed over loopback from a process of its own; it answers 304 to If-Modified-Since."""
    port = port_of(directory)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", "www"]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/")
            if process.poll() is not None:
                raise OSError(f"port {port} is taken: the web server of the feed cannot start")
            yield
        finally:
            process.terminate()


def _wait(url: str) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
