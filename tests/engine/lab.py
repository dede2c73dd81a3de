"""A delivered output, its tables filled by hand, against the stand-in over TLS; time moves by command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tipline.config.schema import Configuration, Settings
from tipline.engine.deliver import Deliverer
from tipline.engine.evaluate import compare
from tipline.engine.graph import Graph
from tipline.engine.times import literal
from tipline.microsoft.pace import RateLimiter, StoppedError
from tipline.microsoft.transport import Connection, Patience
from tipline.model.normalise import conform
from tipline.model.policy import Policy
from tipline.outputs import defender_side, sentinel_side
from tipline.outputs.delivery import Delivered
from tipline.outputs.microsoft_defender import MicrosoftDefender
from tipline.outputs.microsoft_sentinel import MicrosoftSentinel
from tipline.processors.merge import merged
from tipline.sandbox import Sandbox
from tipline.store.control import METADATA, Control
from tipline.store.lake import Lake
from tipline.store.receipts import Receipt, scan
from tipline.store.schema import (
    ADDED,
    CHANGED,
    PUBLISHED,
    REMOVED,
    VIEW,
    VIEW_COLUMNS,
    log_table,
    published_table,
)

Spec = str | dict[str, Any]
KINDS: dict[str, type[Delivered]] = {"defender": MicrosoftDefender, "sentinel": MicrosoftSentinel}


class WaitClock:
    """Waits that pass at once."""

    def __init__(self, stop: threading.Event) -> None:
        self.now = 0.0
        self.stop = stop

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return datetime.now(UTC).timestamp()

    def wait(self, seconds: float) -> None:
        if self.stop.is_set():
            raise StoppedError
        self.now += seconds


class Killed(BaseException):
    """The process dies here."""


class Lab:
    """One output of one kind, its stand-in and its store."""

    def __init__(self, which: str, sandbox: Sandbox, **settings: Any) -> None:
        self.which = which
        self.sandbox = sandbox
        self.lake = Lake(None)
        self.control = Control(None)
        METADATA.create_all(self.control.engine)
        self.ahead = timedelta(0)
        self.stop = threading.Event()
        self.attempts = 6
        self.options = settings
        self.instance = "test"
        self.number = 0
        self.pinned: tuple[str, ...] = ()
        with self.lake.writing() as con:
            self.number = self.lake.node_id(con, which, "output", KINDS[which].kind, self.now())
        self.deliverer = self.build()

    def now(self) -> datetime:
        return datetime.now(UTC).replace(tzinfo=None) + self.ahead

    def advance(self, **by: float) -> None:
        """Time passes, here and there."""
        step = timedelta(**by)
        self.ahead += step
        self.sandbox.advance(step.total_seconds())

    def credentials(self) -> dict[str, Any]:
        box = self.sandbox
        return {
            "tenant_id": box.tenant_id, "client_id": box.client_id, "client_secret": box.client_secret,
            "ca_file": str(box.ca_file), "login_url": box.login_url, "defender_url": box.defender_url,
            "sentinel_url": box.sentinel_url, "arm_url": box.arm_url,
        }  # fmt: skip

    def build(self) -> Deliverer:
        """The deliverer, as a fresh process would make it."""
        kind = KINDS[self.which]
        values: dict[str, Any] = {"kind": kind.kind, "inputs": ["inbound"], "credentials": self.credentials()}
        if self.which == "sentinel":
            values["workspace_id"] = self.sandbox.workspace_id
        node = kind(self.which, kind.Settings.model_validate(values | self.options))
        configuration = Configuration(Path("test.yaml"), Settings(instance=self.instance), outputs={self.which: node})
        graph = Graph(configuration, {self.which: self.number})
        return Deliverer(self.lake, self.control, graph, self.which, clock=self.now, stop=self.stop, pinned=self.pinned)

    def restart(self, **settings: Any) -> Deliverer:
        """Another process, with these settings changed."""
        self.options = {**self.options, **settings}
        self.deliverer.close()
        self.deliverer = self.build()
        return self.deliverer

    def arm(self) -> dict[str, str]:
        box = self.sandbox
        return {"subscription_id": box.subscription_id, "resource_group": box.resource_group,
                "workspace_name": box.workspace_name}  # fmt: skip

    def publish(self, specs: Iterable[Spec], *, reason: str | None = None) -> dict[str, int]:
        """Make this the published set (through the kind's shape), and log the difference."""
        kind = self.deliverer.kind
        con = self.lake.connection()
        try:
            with self.lake.writing(con):
                _load(con, [spec if isinstance(spec, dict) else {"value": spec} for spec in specs], self.now())
                shape = kind.shape("given", literal(self.now())) or "SELECT *, NULL AS dropped FROM given"
                con.execute(f"CREATE OR REPLACE TEMP TABLE shaped AS {shape}")
                con.execute("CREATE OR REPLACE TEMP VIEW live AS SELECT * FROM shaped WHERE dropped IS NULL")
                con.execute(f"CREATE OR REPLACE TEMP TABLE once AS {merged('live')}")
                compare(con, "once", published_table(self.number), kind.shown(), sliced=False)
                return self._write(con, reason)
        finally:
            con.close()

    def _write(self, con: duckdb.DuckDBPyConnection, reason: str | None) -> dict[str, int]:
        published, logged = published_table(self.number), log_table(self.number)
        counts = dict(con.execute("SELECT op, count(*) FROM difference GROUP BY op").fetchall())
        con.execute(
            f"INSERT INTO {logged} SELECT (SELECT seq FROM output_state WHERE output = {self.number})"
            " + row_number() OVER (ORDER BY op, key), ?, op, key, type, value,"
            f" CASE WHEN op = {REMOVED} THEN ? END FROM difference WHERE op <> {CHANGED} OR loud",
            [self.now(), reason],
        )
        con.execute(f"DELETE FROM {published} WHERE key IN (SELECT key FROM difference WHERE op <> {ADDED})")
        con.execute(
            f"INSERT INTO {published} ({', '.join(PUBLISHED)}) SELECT {VIEW_COLUMNS}, digest, shown,"
            " coalesce(d.since, ?) FROM fresh JOIN difference d USING (key, type, value)",
            [self.now()],
        )
        last = f"coalesce((SELECT max(seq) FROM {logged}), seq)"
        con.execute(f"UPDATE output_state SET seq = {last} WHERE output = ?", [self.number])
        return {
            "added": counts.get(ADDED, 0),
            "changed": counts.get(CHANGED, 0),
            "removed": counts.get(REMOVED, 0),
        }

    def published(self) -> set[str]:
        with self.lake.reading() as con:
            return {value for (value,) in con.execute(f"SELECT value FROM {published_table(self.number)}").fetchall()}

    def prune_log(self) -> None:
        with self.lake.writing() as con:
            con.execute(f"DELETE FROM {log_table(self.number)}")

    def receipts(self) -> dict[str, Receipt]:
        """By value."""
        return {receipt.value: receipt for part in scan(self.control, self.which) for receipt in part}

    def there(self) -> list[str]:
        """The values that count at the far side, one for every copy."""
        if self.which == "defender":
            return sorted(row["indicatorValue"] for row in self.sandbox.defender_indicators())
        rows = self.sandbox.query("SELECT Id, ObservableValue, IsActive FROM ThreatIntelIndicators")
        newest = {row["Id"]: row for row in rows}  # in the order of their writing
        return sorted(row["ObservableValue"] for row in newest.values() if row["IsActive"])

    def calls(self) -> dict[str, Any]:
        return dict(self.sandbox.state()["calls"])

    def settle_all(self, cycles: int = 30) -> None:
        """Deliver until nothing is left, letting back-offs pass."""
        for _ in range(cycles):
            report = self.deliverer.cycle()
            if report.state == "ok" and not report.errors and not self._restless():
                return
            self.advance(minutes=7)
        raise AssertionError(f"no end: {report}")

    def _restless(self) -> bool:
        return any(receipt.state in {"sending", "withdrawing", "parked"} for receipt in self.receipts().values())

    def close(self) -> None:
        self.deliverer.close()
        self.control.close()
        self.lake.close()


def _load(con: duckdb.DuckDBPyConnection, specs: list[dict[str, Any]], now: datetime) -> None:
    raw = pl.DataFrame(
        {"value": [spec["value"] for spec in specs], "type": [spec.get("type") for spec in specs]},
        schema={"value": pl.String, "type": pl.String},
    )
    claims = conform(raw, Policy(allow_non_routable=True))
    assert claims["drop"].is_null().all(), claims.filter(pl.col("drop").is_not_null())
    texts, times = pl.List(pl.String), pl.Datetime("us")
    given = {
        "sources": (texts, ["feed"]), "confidence": (pl.UInt8, 50), "tlp": (pl.UInt8, 2),
        "tags": (texts, None), "description": (pl.String, None), "refs": (texts, None),
        "threat_types": (texts, None),
        "first_seen": (times, None), "valid_until": (times, None),
    }  # fmt: skip
    frame = claims.select("type", "value", "lo", "up", "rhost").with_columns(
        pl.Series(name, [spec.get(name, default) for spec in specs], dtype=kind)
        for name, (kind, default) in given.items()
    )
    con.register("claims", frame.to_arrow())
    made = {
        "key": "md5(type || '|' || value)::UUID", "kh": "md5_number_lower(type || '|' || value)",
        "lo": "lo::UUID", "up": "up::UUID", "actionable": "true", "added": literal(now), "direction": "NULL",
        "extra": "NULL",
        "last_seen": "NULL",
    }  # fmt: skip
    columns = ", ".join(f"({made.get(name, name)})::{kind} AS {name}" for name, kind in VIEW.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE given AS SELECT {columns}, NULL::VARCHAR AS dropped FROM claims")
    con.unregister("claims")


def impatient(monkeypatch: Any, attempts: Callable[[], int] = lambda: 6) -> None:
    """No limits and no waits in the clients."""

    def connection(credentials: Any, stop: threading.Event) -> Connection:
        return Connection(
            ca_file=credentials.ca_file,
            clock=WaitClock(stop),
            patience=Patience(attempts=attempts(), longest_wait=1e9),
        )

    for module in (defender_side, sentinel_side):
        monkeypatch.setattr(module, "connection", connection)
        monkeypatch.setattr(module, "limiter", lambda _name, _who, _windows, link, _stop: RateLimiter({}, link.clock))


@contextmanager
def laboratory(which: str, sandbox: Sandbox, **settings: Any) -> Iterator[Lab]:
    lab = Lab(which, sandbox, **settings)
    try:
        yield lab
    finally:
        lab.close()


def hashes(count: int, start: int = 0) -> list[str]:
    """SHA-256 values."""
    return [f"{number:064x}" for number in range(start + 1, start + count + 1)]
