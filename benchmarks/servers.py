"""Rows with another process beside: a served list, an idle server, deliveries to the stand-in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import generate
from benchmarks.measure import cpu_of, resident_mib, spent
from benchmarks.setting import configuration, quiet, web_server
from tipline.config.check import check
from tipline.demo.feeds import FeedServer
from tipline.demo.play import staged
from tipline.engine.core import Engine
from tipline.engine.deliveries import Deliveries

_SECONDS = 5.0
_CLIENTS = 4
_IDLE_SECONDS = 60.0
_SETTLE_SECONDS = 25.0


def serving(_n: int, directory: Path) -> dict[str, Any]:
    """Requests per second for the list: not modified, then its prepared bodies."""
    with served_list(directory) as (pid, address, etag):
        found: dict[str, Any] = {"not_modified": _load(pid, address, {"If-None-Match": etag})}
        for encoding in ("identity", "gzip", "zstd"):
            found[encoding] = _load(pid, address, {"Accept-Encoding": encoding})
        return {**found, "server_resident_mib": resident_mib(pid)}


@contextmanager
def served_list(directory: Path) -> Iterator[tuple[int, str, str]]:
    """A server of the list of the feed, ready: its process, the list's address and its ETag."""
    with web_server(directory), _server(configuration(directory)) as (pid, ready):
        address = str(ready["feeds"][0])
        yield pid, address, _wait_for_etag(address)


def idle(_n: int, directory: Path) -> dict[str, Any]:
    """`tipline serve` on the lab, everything delivered to the stand-in and nothing left to do."""
    with _stand_in() as names, FeedServer() as feeds:
        file = _lab(directory / "idle")
        places = {"LAB_DATA": str(file.parent / "data"), "LAB_FEEDS": feeds.url}
        with _server(file, {**names, **places}) as (pid, _):
            time.sleep(_SETTLE_SECONDS)
            before = cpu_of(pid)
            time.sleep(_IDLE_SECONDS)
            return {
                "resident_mib": resident_mib(pid),
                "cpu_seconds_until_settled": round(before, 2),
                "cpu_seconds_in_60_s": round(cpu_of(pid) - before, 2),
            }


def _lab(place: Path) -> Path:
    """A copy of the lab's configuration."""
    place.mkdir(exist_ok=True)
    file = place / "lab.yml"
    file.write_bytes((Path(sys.modules["tipline.demo"].__path__[0]) / "lab.yml").read_bytes())
    return file


def defender(_n: int, directory: Path) -> dict[str, Any]:
    """A tenant filled to its limit: 14,500 of 15,000 indicators, with receipts."""
    return _deliver("defender", 15_000, directory)


def sentinel(_n: int, directory: Path) -> dict[str, Any]:
    """50,000 indicators uploaded, with receipts."""
    return _deliver("sentinel", 50_000, directory)


def _deliver(output: str, count: int, directory: Path) -> dict[str, Any]:
    """The lab's feed replaced by generated indicators, delivered to the stand-in in another process."""
    quiet()
    with ExitStack() as stack:
        file = _lab(directory / output)
        names = stack.enter_context(_stand_in())
        feeds = stack.enter_context(FeedServer())
        frame = generate.values(count * 3, seed=5)
        feeds.bodies["/covid19.csv"] = _lab_rows(frame.filter(~frame.str.contains("/"))[:count].to_list())
        os.environ |= {**names, "LAB_FEEDS": feeds.url, "LAB_DATA": str(file.parent / "data")}
        engine = stack.enter_context(Engine(check(file).usable()))
        engine.poll("covid19")
        engine.evaluate([output])
        deliveries = Deliveries(engine)
        with spent() as done:
            deliveries.drain()
        summary = deliveries.summary(output)
        deliveries.stop()
        return {**done.figures(summary["accepted"], "receipts"), **summary}


def _lab_rows(values: list[str]) -> bytes:
    """Rows as the lab's feed has them: value in column 2, TLP in 4."""
    rows = [f"2026-01-01T00:00:00Z,{value},x,green,x,phish,generated" for value in values]
    return ("\n".join(rows) + "\n").encode()


def stand_in() -> None:
    """Run the stand-in until standard input ends; the first line of output has its addresses."""
    with staged() as stage:
        names = {name: value for name, value in os.environ.items() if name.startswith("LAB_")}
        print(json.dumps(names), flush=True)
        stage.engine.close()
        sys.stdin.read()


@contextmanager
def _stand_in() -> Iterator[dict[str, str]]:
    command = [sys.executable, "-c", "from benchmarks.servers import stand_in; stand_in()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        names: dict[str, str] = json.loads(process.stdout.readline())
        try:
            yield names
        finally:
            process.communicate("")


@contextmanager
def _server(file: Path, environment: dict[str, str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """`tipline serve` on a configuration, and what it says when it is ready."""
    command = [sys.executable, "-m", "tipline", "serve", "--config", str(file), "--json", "--port", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            if "urls" not in ready:
                raise RuntimeError(f"the server did not start: {ready}")
            yield process.pid, ready
        finally:
            process.terminate()


def _wait_for_etag(address: str) -> str:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        head, _ = _ask(_connect(address), address, {})
        for line in head.splitlines():
            if line.lower().startswith("etag:") and " 200 " in head.splitlines()[0]:
                return line.partition(":")[2].strip()
        time.sleep(0.5)
    raise TimeoutError(address)


def _load(pid: int, address: str, headers: dict[str, str]) -> dict[str, Any]:
    """Ask from a few connections for a few seconds; CPU-seconds are the server's."""
    _ask(_connect(address), address, headers)  # a body in this encoding is prepared on first use
    counts, size = [0] * _CLIENTS, [0]
    end = time.monotonic() + _SECONDS
    before, begin = cpu_of(pid), time.monotonic()

    def client(place: int) -> None:
        connection = _connect(address)
        while time.monotonic() < end:
            _, length = _ask(connection, address, headers)
            counts[place] += 1
            size[0] = length
        connection.close()

    threads = [threading.Thread(target=client, args=(place,)) for place in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu, wall, asked = cpu_of(pid) - before, time.monotonic() - begin, sum(counts)
    return {
        "requests_per_second": round(asked / wall),
        "requests_per_server_cpu_second": round(asked / cpu) if cpu else None,
        "body_bytes": size[0],
    }


def _connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=60)


def _ask(connection: socket.socket, address: str, headers: dict[str, str]) -> tuple[str, int]:
    """One request on an open connection; returns the answer's head and the size of its body."""
    lines = [
        f"GET {urlsplit(address).path} HTTP/1.1",
        "Host: localhost",
        *(f"{k}: {v}" for k, v in headers.items()),
    ]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    data = bytearray()
    while (stop := data.find(b"\r\n\r\n")) < 0:
        part = connection.recv(1 << 16)
        if not part:
            raise ConnectionError(address)
        data += part
    head = data[:stop].decode("latin-1")
    length = next(
        (int(line.partition(":")[2]) for line in head.splitlines() if line.lower().startswith("content-length:")),
        0,
    )
    length = 0 if " 304 " in head.splitlines()[0] else length
    left, buffer = length - (len(data) - stop - 4), bytearray(1 << 20)
    while left > 0:
        got = connection.recv_into(buffer, min(left, len(buffer)))
        if not got:
            raise ConnectionError(address)
        left -= got
    return head, length
