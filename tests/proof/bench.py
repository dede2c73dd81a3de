"""A program without far sides: one configuration in YAML, rounds, and what its list publishes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tipline.config.check import load
from tipline.engine.core import Engine
from tipline.engine.listfiles import DEFAULT, list_files
from tipline.engine.poll import PollResult
from tipline.engine.schedule import Scheduler
from tipline.store.schema import published_table


class Bench:
    """An engine and its scheduler on a folder."""

    def __init__(self, folder: Path, text: str) -> None:
        path = folder / "bench.yml"
        path.write_text(text)
        self.engine = Engine(load(path))
        self.scheduler = Scheduler(self.engine)

    def round(self) -> dict[str, PollResult]:
        """One round; its polls by source."""
        return {poll.source: poll for poll in self.scheduler.run_once().polls}

    def published(self, output: str = "listed") -> set[str]:
        """What a list publishes; its prepared file says the same."""
        values = self.published_in_store(output)
        prepared, warning = list_files(self.engine).obtain(output, DEFAULT)
        assert (warning, sorted(prepared.path.read_text().split())) == ("", sorted(values))
        return values

    def published_in_store(self, output: str) -> set[str]:
        """What any output publishes, each value once."""
        with self.engine.lake.reading() as con:
            rows = con.execute(f"SELECT value FROM {published_table(self.engine.graph.ids[output])}").fetchall()
        assert len(rows) == len(set(rows))
        return {value for (value,) in rows}


@contextmanager
def bench(folder: Path, text: str) -> Iterator[Bench]:
    """A bench, closed at the end."""
    made = Bench(folder, text)
    try:
        yield made
    finally:
        made.scheduler.stop()
        made.engine.close()
