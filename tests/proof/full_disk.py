"""On a disk that fills up: `python full_disk.py FOLDER BYTES ROWS` prints what happened, as JSON."""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import structlog

from proof.bench import Bench
from tipline.errors import StoreError

CONFIGURATION = """\
store: {threads: 1, memory_limit: 512MB}
sources:
  feed: {kind: lines, url: feed.txt, tlp: clear, guard: {enabled: false}}
outputs:
  listed: {kind: list, inputs: feed, guard: {enabled: false}}
  written: {kind: file, inputs: feed, path: written.txt, guard: {enabled: false}}
"""
SMALL = "evil.com\n8.8.4.4\n"


def limit(most: int) -> None:
    """No file may grow beyond so many bytes, as if the disk were full."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))


def look(here: Bench) -> dict[str, Any]:
    """A round, and what is published after it."""
    try:
        poll = here.round()["feed"]
        state, message = poll.state, poll.message
    except StoreError as exc:  # what `tipline run --once` would print
        state, message = "failed", str(exc)
    return {
        "state": state,
        "message": message,
        "published": len(here.published()),
        "written": len((here.engine.data / "written.txt").read_text().split()),
    }


def main(folder: Path, most: int, rows: int) -> None:
    """A good round, one on a full disk, and one after space was made."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    (folder / "feed.txt").write_text(SMALL)
    here = Bench(folder, CONFIGURATION)
    told = [look(here)]
    (folder / "feed.txt").write_text(SMALL + "".join(f"host{number}.example{number}.com\n" for number in range(rows)))
    limit(most)
    told.append(look(here))
    limit(resource.RLIM_INFINITY)
    told.append(look(here))
    here.engine.close()
    here = Bench(folder, CONFIGURATION)
    told.append(look(here))
    here.engine.close()
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
