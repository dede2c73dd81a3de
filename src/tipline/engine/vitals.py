"""How the machine and the store do: memory, disk, files, versions."""

from __future__ import annotations

import platform
import resource
import shutil
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tipline import __version__
from tipline.engine.core import Engine
from tipline.engine.times import iso

_STATUS = Path("/proc/self/status")
STARTED = datetime.now(UTC).replace(tzinfo=None)


def vitals(engine: Engine) -> dict[str, Any]:
    """What the program takes and has: all sizes in bytes.

    Returns:
        memory (now, most, limit of the database), disk (free, total, where), files (name, size), versions, since
        (when the program was started) and the configuration's path.
    """
    data = engine.data
    disk = shutil.disk_usage(data if data.exists() else data.parent)
    return {
        "memory": {
            "now": _resident(),
            "most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "database": _memory_limit(engine),
        },
        "disk": {"free": disk.free, "total": disk.total, "where": str(data)},
        "files": _files(data),
        "versions": {
            "tipline": __version__,
            "python": platform.python_version(),
            "duckdb": duckdb.__version__,
            "polars": pl.__version__,
            "sqlite": sqlite3.sqlite_version,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "program": sys.executable,
        },
        "since": iso(STARTED),
        "configuration": str(engine.configuration.path),
    }


def _resident() -> int | None:
    """The memory that the process has now; None where the system does not tell."""
    try:
        line = next(each for each in _STATUS.read_text().splitlines() if each.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def _memory_limit(engine: Engine) -> str:
    with engine.lake.reading() as con:
        row = con.execute("SELECT current_setting('memory_limit')").fetchone()
    return str(row[0]) if row else ""


def _files(data: Path) -> list[dict[str, Any]]:
    """What stands in the data directory, folders with all that is in them, the largest first."""
    if not data.is_dir():
        return []
    found = [{"name": f"{each.name}/" if each.is_dir() else each.name, "size": _size(each)} for each in data.iterdir()]
    return sorted(found, key=lambda each: (-int(each["size"]), str(each["name"])))


def _size(path: Path) -> int:
    total = 0
    for each in path.rglob("*") if path.is_dir() else [path]:
        try:
            total += each.lstat().st_size if each.is_file() else 0
        except OSError:
            continue  # it went away meanwhile
    return total
