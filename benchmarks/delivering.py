"""Deliveries with receipts to stand-ins in another process, and a MISP feed on disk: per CPU-second of tipline.

The stand-ins are those of the tests; what they use is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import generate
from benchmarks.measure import forget_peak, spent
from benchmarks.setting import quiet
from tipline.config.check import check
from tipline.engine import mispfeed
from tipline.engine.core import Engine
from tipline.engine.deliveries import Deliveries
from tipline.sandbox import Sandbox

_TESTS = Path(__file__).parent.parent / "tests"
# The stand-ins of MISP and Graph look through all that they hold at each call.
_FEW = 5_000
_FAST = 100_000
_MANY = 1_000_000
Row = Callable[[int, Path], dict[str, Any]]


def delivery(name: str, most: int = _FAST) -> Row:
    """A row: so many indicators at most, sent to the stand-in of an output's kind."""

    def row(n: int, directory: Path) -> dict[str, Any]:
        with _stand_in(name) as settings, _filled(directory / name, settings, min(n, most)) as engine:
            deliveries = Deliveries(engine)
            forget_peak()
            with spent() as done:
                deliveries.drain()
            summary = deliveries.summary("out")
            deliveries.stop()
            return {**done.figures(summary["accepted"], "receipts"), **summary}

    return row


def misp_feed(n: int, directory: Path) -> dict[str, Any]:
    """A MISP feed of 16 events written from what is published, and again after nothing changed."""
    settings = {"kind": "misp-feed", "events": 16}
    with _filled(directory / "misp-feed", settings, n) as engine:
        forget_peak()
        with spent() as writing:
            mispfeed.write(engine, "out")
        with spent() as again:
            mispfeed.write(engine, "out")
        return {**writing.figures(n, "indicators"), "unchanged": again.figures()}


@contextmanager
def _filled(directory: Path, settings: dict[str, Any], count: int) -> Iterator[Engine]:
    """An engine whose one output publishes so many addresses, domains and hashes, and has delivered none."""
    quiet()
    directory.mkdir(exist_ok=True)
    values = generate.values(count * 2, seed=7)
    pl.DataFrame({"value": values.filter(~values.str.contains("/"))[:count]}).write_csv(directory / "feed.csv")
    source = {"kind": "csv", "url": "feed.csv", "columns": {"value": "value"}, "tlp": "clear"}
    guard = {"enabled": False}
    made = {
        "store": {"threads": 1, "memory_limit": "2GB"},
        "sources": {"feed": source},
        "outputs": {"out": {"inputs": "feed", "guard": guard, **settings}},
    }
    (directory / "tipline.yml").write_text(json.dumps(made), encoding="utf-8")
    with Engine(check(directory / "tipline.yml").usable()) as engine:
        engine.poll("feed")
        engine.evaluate()
        yield engine


def stand_in(name: str) -> None:
    """Run a stand-in until standard input ends; the first line of output has the settings that reach it."""
    sys.path.insert(0, str(_TESTS))
    with _STAND_INS[name]() as settings:
        print(json.dumps(settings), flush=True)
        sys.stdin.read()


@contextmanager
def _stand_in(name: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-c", f"from benchmarks.delivering import stand_in; stand_in({name!r})"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        settings: dict[str, Any] = json.loads(process.stdout.readline())
        try:
            yield settings
        finally:
            process.communicate("")


@contextmanager
def _webhook() -> Iterator[dict[str, Any]]:
    from outputs.delivering import Server

    with Server() as server:
        yield {"kind": "webhook", "url": server.url, "secret": "whsec_" + "QUJD" * 11}


@contextmanager
def _elasticsearch() -> Iterator[dict[str, Any]]:
    from outputs.elastic import KEY, Elastic

    with Elastic() as server:
        yield {"kind": "http", "template": "elasticsearch", "url": server.url, "token": KEY}


@contextmanager
def _splunk() -> Iterator[dict[str, Any]]:
    from outputs.splunk import TOKEN, Hec

    with Hec() as server:
        yield {"kind": "http", "template": "splunk-hec", "url": server.url, "token": TOKEN}


@contextmanager
def _misp() -> Iterator[dict[str, Any]]:
    from outputs.misp_stage import KEY, Misp

    with Misp() as server:
        yield {"kind": "misp-push", "url": server.url, "key": KEY}


@contextmanager
def _graph() -> Iterator[dict[str, Any]]:
    with Sandbox(rate_limits=False) as sandbox:
        secret = "a-secret-of-a-benchmark"
        app = sandbox.add_app("graph", secret=secret, roles=["ThreatIndicators.ReadWrite.OwnedBy"])
        sign_in = {
            "tenant_id": sandbox.tenant_id, "client_id": app.client_id, "client_secret": secret,
            "ca_file": str(sandbox.ca_file), "login_url": sandbox.login_url,
        }  # fmt: skip
        yield {"kind": "microsoft-graph", "graph_url": sandbox.url, "credentials": sign_in}


@contextmanager
def syslog(port: int = 0) -> Iterator[dict[str, Any]]:
    """A listener that reads whatever comes, on any free port unless one is given; yields settings that reach it."""
    program = (
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:\n"
        "    print(server.getsockname()[1], flush=True)\n"
        "    while True:\n"
        "        connection, _ = server.accept()\n"
        "        with connection:\n"
        "            while connection.recv(1 << 20):\n"
        "                pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = int(process.stdout.readline())
            yield {"kind": "syslog", "host": "127.0.0.1", "port": found, "transport": "tcp"}
        finally:
            process.terminate()


_STAND_INS: dict[str, Callable[[], AbstractContextManager[dict[str, Any]]]] = {
    "webhook": _webhook,
    "syslog": syslog,
    "elasticsearch": _elasticsearch,
    "splunk": _splunk,
    "misp_push": _misp,
    "graph": _graph,
}
ROWS: dict[str, Row] = {
    "webhook": delivery("webhook", _MANY),
    "syslog": delivery("syslog", _MANY),
    "elasticsearch": delivery("elasticsearch"),
    "splunk": delivery("splunk", _MANY),
    "misp_push": delivery("misp_push", _FEW),
    "graph": delivery("graph", _FEW),
    "misp_feed": misp_feed,
}
