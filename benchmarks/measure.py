"""Clocks: CPU-seconds of all threads, wall seconds, peak memory; of this process or of another."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Spent:
    """What a stretch of work took."""

    cpu: float = 0.0
    wall: float = 0.0

    def figures(self, count: int | None = None, what: str = "lines") -> dict[str, Any]:
        """CPU-seconds, wall seconds, peak memory of the process, and how much of `what` per CPU-second."""
        found: dict[str, Any] = {
            "cpu_seconds": round(self.cpu, 3),
            "wall_seconds": round(self.wall, 3),
            "peak_mib": peak_mib(),
        }
        if count is not None:
            found[what] = count
            found[f"{what}_per_cpu_second"] = round(count / self.cpu) if self.cpu else None
        return found


@contextmanager
def spent() -> Iterator[Spent]:
    """Measure the block; the figures are there when it ends."""
    found = Spent()
    cpu, wall = time.process_time(), time.perf_counter()
    yield found
    found.cpu, found.wall = time.process_time() - cpu, time.perf_counter() - wall


def peak_mib() -> int:
    """The most memory this process has held, in MiB, since its start or `forget_peak()`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def forget_peak() -> None:
    """Let the most memory so far be what this process holds now; a row's figure is of what comes after."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000, 2),
    }


def cpu_of(pid: int) -> float:
    """CPU-seconds that another process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mib(pid: int) -> int:
    """Memory that another process holds now, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0
