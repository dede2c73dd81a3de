"""A whole program on stage: feeds in files, YAML, the stand-in, and a time that tests move."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.lab import impatient
from tipline.config.check import load
from tipline.engine.core import Engine
from tipline.engine.people import People
from tipline.engine.schedule import Round, Scheduler
from tipline.engine.verify import verify
from tipline.sandbox import Sandbox
from tipline.store.schema import published_table

FAR_SIDES = ("defender", "sentinel")
COUNTS = ("sent", "accepted", "errors", "deleted")


class Stage:
    """One installation; `text` is its configuration, `{credentials}` and `{workspace}` are filled in."""

    def __init__(self, folder: Path, sandbox: Sandbox, text: str) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.ahead = timedelta()
        self.open(text)

    def open(self, text: str) -> None:
        """Start on a configuration."""
        path = self.folder / "stage.yml"
        box = self.sandbox
        credentials = {
            "tenant_id": box.tenant_id, "client_id": box.client_id, "client_secret": box.client_secret,
            "login_url": box.login_url, "ca_file": str(box.ca_file), "defender_url": box.defender_url,
            "sentinel_url": box.sentinel_url, "arm_url": box.arm_url,
        }  # fmt: skip
        filled = text.replace("{credentials}", json.dumps(credentials)).replace("{workspace}", box.workspace_id)
        path.write_text(filled)
        self.engine = Engine(load(path), clock=self.clock)
        self.scheduler = Scheduler(self.engine)
        self.people = People(self.engine)

    def restart(self, text: str) -> None:
        """Stop, and start again on a configuration."""
        self.close()
        self.open(text)

    def close(self) -> None:
        """Stop."""
        self.scheduler.stop()
        self.engine.close()

    def clock(self) -> datetime:
        """The program's time."""
        return datetime.now(UTC).replace(tzinfo=None) + self.ahead

    def forward(self, **by: float) -> None:
        """Time passes, here and at the far sides."""
        step = timedelta(**by)
        self.ahead += step
        self.sandbox.advance(step.total_seconds())

    def feed(self, name: str, body: bytes | str) -> None:
        """The next version of a feed's file."""
        (self.folder / name).write_bytes(body if isinstance(body, bytes) else body.encode())

    def round(self) -> Round:
        """One round."""
        return self.scheduler.run_once()

    def published(self, output: str) -> set[str]:
        """The values that an output publishes."""
        with self.engine.lake.reading() as con:
            rows = con.execute(f"SELECT value FROM {published_table(self.engine.graph.ids[output])}").fetchall()
        assert len(rows) == len(set(rows))
        return {value for (value,) in rows}

    def there(self, far_side: str) -> list[str]:
        """The values that count at a far side, one for every copy, sorted."""
        if far_side == "defender":
            return sorted(item["indicatorValue"] for item in self.sandbox.defender_indicators())
        active = [each["data"]["pattern"] for each in self.sandbox.sentinel_objects() if each["active"]]
        return sorted(pattern.partition(" = '")[2].removesuffix("']") for pattern in active)

    def counts(self) -> dict[str, dict[str, int]]:
        """What each far side has been sent in all."""
        return {name: self.scheduler.deliveries.summary(name) for name in FAR_SIDES}

    def wrong(self) -> list[Any]:
        """Outputs that are not what their view says from scratch."""
        return [each for each in verify(self.engine) if not each.equal]


@contextmanager
def staged(folder: Path, text: str, *, attempts: int = 6) -> Iterator[Stage]:
    """A stage whose clients wait for nothing."""
    with pytest.MonkeyPatch.context() as patch, Sandbox(rate_limits=False) as sandbox:
        impatient(patch, attempts=lambda: attempts)
        stage = Stage(folder, sandbox, text)
        try:
            yield stage
        finally:
            stage.close()
