"""Two hundred small feeds, each polled every five minutes, with a line that came and one that went at each poll."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measure import peak_mib, spent
from benchmarks.setting import quiet
from tipline.config.check import check_text
from tipline.engine.core import Engine
from tipline.engine.listfiles import write_files

_FEEDS, _LINES, _POLLS = 200, 1_000, 100
_EVERY = 300  # seconds


def small_polls(_n: int, directory: Path) -> dict[str, Any]:
    """CPU-seconds of a poll, of what follows from it, and the share of one core that all feeds take."""
    quiet()
    place = directory / "small"
    place.mkdir()
    for feed in range(_FEEDS):
        _write(place, feed, 0)
    with Engine(check_text(_configuration(), place / "tipline.yml").usable()) as engine:
        for feed in range(_FEEDS):
            engine.poll(f"feed-{feed:03d}")
        engine.evaluate()
        write_files(engine, "all")
        taken = {"poll": 0.0, "evaluate": 0.0, "write_list": 0.0}
        for feed in range(_POLLS):
            _write(place, feed, 1)
            with spent() as poll:
                engine.poll(f"feed-{feed:03d}")
            with spent() as evaluate:
                engine.evaluate()
            with spent() as write:
                write_files(engine, "all")
            for name, step in zip(taken, (poll, evaluate, write), strict=True):
                taken[name] += step.cpu
    return {
        "polls": _POLLS,
        "cpu_ms_a_poll": {name: round(cpu / _POLLS * 1000, 1) for name, cpu in taken.items()},
        "share_of_a_core": round(sum(taken.values()) / _POLLS * _FEEDS / _EVERY, 4),
        "peak_mib": peak_mib(),
    }


def _write(place: Path, feed: int, start: int) -> None:
    numbers = range(start, start + _LINES)
    lines = (f"{20 + feed % 100}.{feed // 100 + 1}.{n // 250}.{n % 250 + 1}" for n in numbers)
    (place / f"feed-{feed:03d}.txt").write_text("\n".join(lines), encoding="utf-8")


def _configuration() -> str:
    names = [f"feed-{feed:03d}" for feed in range(_FEEDS)]
    feeds = "".join(f"  {name}: {{kind: lines, url: {name}.txt, tlp: clear, every: 5m}}\n" for name in names)
    return f"""\
store: {{threads: 1}}
sources:
{feeds}processors:
  inbound: {{kind: aggregate, inputs: [{", ".join(names)}]}}
outputs:
  all: {{kind: list, inputs: inbound}}
"""
