"""`python -m benchmarks [--n 1000000] [--only name,...]`: measure, and print one JSON document.

Every row runs in a process of its own, so that its peak memory is its own; rows that build on each other
share a data directory. Figures per CPU-second count all threads of that process, and nothing of the
servers beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.rows import ROWS, needs

_SILENT = {"TIPLINE_LOG": "error", "POLARS_MAX_THREADS": "1"}


def main() -> None:
    """Read the arguments, run the rows, print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000, help="lines of the feed (default 1,000,000)")
    parser.add_argument("--only", default="", help=f"rows, separated by commas, of: {', '.join(ROWS)}")
    parser.add_argument("--directory", type=Path, help="where to work; a temporary directory unless given")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(ROWS[arguments.row](arguments.n, arguments.directory)))
        return
    wanted = [name for name in arguments.only.split(",") if name] or list(ROWS)
    unknown = [name for name in wanted if name not in ROWS]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are: {', '.join(ROWS)}")
    print(json.dumps({"machine": _machine(), "n": arguments.n, "rows": _run(wanted, arguments)}, indent=2))


def _run(wanted: list[str], arguments: argparse.Namespace) -> dict[str, object]:
    kept: Path | None = arguments.directory
    directory = kept or Path(tempfile.mkdtemp(prefix="tipline-benchmarks-"))
    directory.mkdir(parents=True, exist_ok=True)
    found = {}
    try:
        for name in needs(wanted, directory):
            print(f"{name} ...", file=sys.stderr, flush=True)
            found[name] = _child(name, arguments.n, directory)
    finally:
        if kept is None:
            shutil.rmtree(directory, ignore_errors=True)
    return {name: figures for name, figures in found.items() if figures.get("measured", True)}


def _child(name: str, n: int, directory: Path) -> dict[str, object]:
    command = [
        sys.executable,
        "-m",
        "benchmarks",
        "--row",
        name,
        "--n",
        str(n),
        "--directory",
        str(directory),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, env={**os.environ, **_SILENT}, check=False, text=True)
    if done.returncode:
        return {"failed": f"exit code {done.returncode}; what went wrong is above"}
    figures: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _machine() -> dict[str, object]:
    model = ""
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = [line for line in information.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else ""
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "polars": pl.__version__,
    }


if __name__ == "__main__":
    main()
