"""Look-ups: one value alone, beside polls and readers, and ten thousand in one call."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import generate
from benchmarks.measure import peak_mib, percentiles, spent
from benchmarks.setting import FEED, NEXT, engine, serve, web_server
from tipline.engine.core import Engine
from tipline.engine.listfiles import write_files
from tipline.engine.lookup import lookup
from tipline.store.schema import published_table

_ALONE, _BESIDE, _MANY = 1_000, 400, 10_000
_READERS = 4


def lookups(n: int, directory: Path) -> dict[str, Any]:
    """Half of the values asked for are published, half are not."""
    with web_server(directory), engine(directory) as made:
        values = _values(made)
        lookup(made, values[:1])  # the first one counts the networks
        alone = [_one(made, value) for value in values[:_ALONE]]
        cpu = [_cpu(made, value) for value in values[_ALONE : 2 * _ALONE]]
        with spent() as many:
            found = lookup(made, values[:_MANY])
        beside = _beside(made, directory, values)
    return {
        "published": n,
        "alone": percentiles(alone),
        "alone_cpu": percentiles(cpu),
        "beside_polls_and_readers": beside,
        "ten_thousand": {
            **many.figures(len(found), "values"),
            "hits": sum(bool(entry["hits"]) for entry in found),
        },
        "peak_mib": peak_mib(),
    }


def _values(made: Engine) -> list[str]:
    table = published_table(made.graph.ids["everything"])
    with made.lake.reading() as con:
        rows = con.execute(f"SELECT value FROM {table} USING SAMPLE reservoir({_MANY // 2}) REPEATABLE (1)")
        held = [value for (value,) in rows.fetchall()]
    mixed = [*held, *generate.values(_MANY - len(held), seed=99).to_list()]
    random.Random(1).shuffle(mixed)
    return mixed


def _one(made: Engine, value: str) -> float:
    begin = time.perf_counter()
    lookup(made, [value])
    return time.perf_counter() - begin


def _cpu(made: Engine, value: str) -> float:
    begin = time.process_time()
    lookup(made, [value])
    return time.process_time() - begin


def _beside(made: Engine, directory: Path, values: list[str]) -> dict[str, Any]:
    """Look up while a poll after the other commits 1 %, and four readers stream the list."""
    stop = threading.Event()
    counts = {"polls": 0, "lists_read": 0}
    threads = [threading.Thread(target=_poll, args=(made, directory, stop, counts))]
    threads += [threading.Thread(target=_stream, args=(made, stop, counts)) for _ in range(_READERS)]
    for thread in threads:
        thread.start()
    taken = [_one(made, value) for value in values[:_BESIDE]]
    while counts["polls"] < 2:
        taken.append(_one(made, values[len(taken) % len(values)]))
    stop.set()
    for thread in threads:
        thread.join()
    return {**percentiles(taken), "lookups": len(taken), **counts}


def _poll(made: Engine, directory: Path, stop: threading.Event, counts: dict[str, int]) -> None:
    while not stop.is_set():
        serve(directory, FEED if counts["polls"] % 2 == 0 else NEXT)
        made.poll("feed")
        made.evaluate()
        write_files(made, "everything")
        counts["polls"] += 1


def _stream(made: Engine, stop: threading.Event, counts: dict[str, int]) -> None:
    """A reader of the prepared file, as the list's address sends it, at some 30 MB/s."""
    folder = made.data / "feeds" / "everything"
    while not stop.is_set():
        for file in sorted(folder.glob("*.txt"))[-1:]:
            with file.open("rb") as body:
                while body.read(1 << 18) and not stop.is_set():
                    time.sleep(1 / 120)
            counts["lists_read"] += 1
        time.sleep(0.01)
