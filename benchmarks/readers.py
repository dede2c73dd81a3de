"""A thousand readers at once: each asks for the prepared list over a connection of its own, from one process."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import cpu_of, percentiles, resident_mib
from benchmarks.servers import served_list

_READERS, _EACH = 1_000, 3


def readers(_n: int, directory: Path) -> dict[str, Any]:
    """1,000 connections that are open at the same time, three answers on each: not modified, then gzip."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the server inherits it
    with served_list(directory) as (pid, address, etag):
        found: dict[str, Any] = {}
        for name, headers in (
            ("not_modified", {"If-None-Match": etag}),
            ("gzip", {"Accept-Encoding": "gzip"}),
        ):
            before, begin = cpu_of(pid), time.monotonic()
            taken, size = asyncio.run(_all(address, headers))
            cpu, wall = cpu_of(pid) - before, time.monotonic() - begin
            found[name] = {
                "answers": len(taken),
                "answers_per_second": round(len(taken) / wall),
                "answers_per_server_cpu_second": round(len(taken) / cpu) if cpu else None,
                "body_bytes": size,
                **percentiles(taken),
                "server_resident_mib": resident_mib(pid),
            }
        return {"readers": _READERS, **found}


async def _all(address: str, headers: dict[str, str]) -> tuple[list[float], int]:
    """Seconds that each answer took, and the size of a body; nobody asks before everybody is connected."""
    parts = urlsplit(address)
    connected = asyncio.Barrier(_READERS)
    lines = [f"GET {parts.path} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in headers.items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def reader() -> tuple[list[float], int]:
        read, write = await asyncio.open_connection(parts.hostname, parts.port)
        await connected.wait()
        taken, size = [], 0
        for _ in range(_EACH):
            begin = time.perf_counter()
            write.write(request)
            size = await _answer(read)
            taken.append(time.perf_counter() - begin)
        write.close()
        await write.wait_closed()
        return taken, size

    found = await asyncio.gather(*(reader() for _ in range(_READERS)))
    return [each for taken, _ in found for each in taken], found[0][1]


async def _answer(read: asyncio.StreamReader) -> int:
    """Read one answer; returns the size of its body."""
    head = (await read.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = head.split(" ", 2)[1]
    if status == "304":
        return 0
    if status != "200":
        raise ConnectionError(head)
    length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:"))
    left = length
    while left:
        part = await read.read(min(left, 1 << 18))
        if not part:
            raise ConnectionError("the body was cut off")
        left -= len(part)
    return length
