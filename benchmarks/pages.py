"""Pages and API over real HTTP: a hundred feeds, so many claims in all; alone, and beside polls.

The server, its scheduler and the one client share this process, so CPU-seconds of a request count all three.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import polars as pl

from benchmarks import generate
from benchmarks.delivering import syslog
from benchmarks.measure import peak_mib, spent
from benchmarks.setting import port_of, quiet
from tipline.api.serving import served
from tipline.config.check import check
from tipline.engine.core import Engine
from tipline.engine.operations import Operations
from tipline.engine.schedule import Scheduler
from tipline.store.schema import claims_table

FOLDER = "pages"
_FEEDS = 100
_ALONE, _BESIDE = (20, 5.0), (8, 4.0)  # requests of each sort at most, and seconds after which there are no more
_LEAST = 4
_MANY = 10_000
_POLLED = "feed-000"
_TEAMS = ("default", "other")
Ask = tuple[str, dict[str, Any] | None]


def pages_data(n: int, directory: Path) -> dict[str, Any]:
    """Fill a data directory: a hundred feeds of very different size, which share values, and their outputs."""
    quiet()
    place = directory / FOLDER
    place.mkdir()
    claims = _write_feeds(place, n)
    with syslog(port_of(place)) as far_side:
        (place / "tipline.yml").write_text(json.dumps(_configuration(far_side)), encoding="utf-8")
        with Engine(check(place / "tipline.yml").usable()) as engine:
            with spent() as filled:
                Scheduler(engine).run_once()
            operations, keys = Operations(engine), {}
            for team in _TEAMS:
                role = "admin" if team == "default" else "analyst"
                operations.call("user_add", {"name": team, "role": role, "team": team})
                keys[team] = operations.call("key_add", {"user": team, "rate": 100_000})["key"]
            (place / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
    return {"claims": claims, **filled.figures()}


def pages(_n: int, directory: Path) -> dict[str, Any]:
    """How long each page takes, p50 and p95, with the server otherwise idle and beside polls."""
    quiet()
    place = directory / FOLDER
    keys = json.loads((place / "keys.json").read_text(encoding="utf-8"))
    with syslog(port_of(place)), Engine(check(place / "tipline.yml").usable()) as engine:
        sorts = _sorts(_Values(engine))
        with served(engine, [("127.0.0.1", 0)]) as (urls, scheduler):

            def measured(times: int, seconds: float) -> dict[str, Any]:
                clients = {team: _Client(urls[0], key) for team, key in keys.items()}
                return {name: _asked(clients[each.team], each, times, seconds) for name, each in sorts.items()}

            alone = measured(*_ALONE)
            with _polls(place, scheduler) as done:
                beside = measured(*_BESIDE)
            return {"alone": alone, "beside_polls": beside, "polls": done[0], "peak_mib": peak_mib()}


@dataclass(frozen=True)
class _Sort:
    """A sort of request, made anew each time: path and body; and the team of who asks."""

    ask: Callable[[random.Random], Ask]
    team: str = "default"


class _Values:
    """What is asked for: values that are held, drawn at random."""

    def __init__(self, engine: Engine) -> None:
        table = claims_table(engine.graph.ids[_POLLED])
        with engine.lake.reading() as con:
            sample = f"SELECT type, value FROM {table} USING SAMPLE reservoir({_MANY // 2}) REPEATABLE (1)"
            rows = con.execute(sample).fetchall()
        self.held = [value for _, value in rows]
        self.addresses = [value for type_, value in rows if type_ == "ipv4" and "/" not in value]
        self.domains = [value for type_, value in rows if type_ == "domain"]
        self.urls = [value for type_, value in rows if type_ == "url"]

    def many(self, chance: random.Random) -> list[str]:
        """Ten thousand values, half of them held."""
        fresh = generate.values(_MANY - len(self.held), seed=chance.randrange(1 << 20)).to_list()
        return [*self.held, *fresh]


def _sorts(values: _Values) -> dict[str, _Sort]:
    """Every sort of request, by name."""

    def of(path: str, **query: Any) -> Callable[[random.Random], Ask]:
        return lambda chance: (_address(path, {k: v(chance) if callable(v) else v for k, v in query.items()}), None)

    def post(path: str, body: Callable[[random.Random], dict[str, Any]]) -> Callable[[random.Random], Ask]:
        return lambda chance: (path, body(chance))

    found = "/ui/indicators"
    search = {
        "nothing": {},
        "exact value": {"text": lambda c: c.choice(values.held).replace(".", "[.]")},
        "part of a value": {"text": lambda c: c.choice(values.domains)[3:14]},
        "part that is nowhere": {"text": lambda c: f"nowhere-{c.randrange(1 << 30)}"},
        "network": {"text": lambda c: ".".join(c.choice(values.addresses).split(".")[:2]) + ".0.0/16"},
        "type": {"type": "sha256"},
        "source": {"source": lambda c: f"feed-{c.randrange(_FEEDS):03d}"},
        "tag": {"tag": "login"},
        "confidence": {"confidence": "95"},
        "time": {"since": "2020-01-01T00:00:00"},
        "output": {"output": "high"},
        "type, tag and confidence": {"type": "url", "tag": "login", "confidence": "80"},
    }
    sorts = {f"search: {name}": _Sort(of(found, **query)) for name, query in search.items()}
    sorts["search: page deep in"] = _Sort(of(found, after=lambda c: json.dumps([c.choice(values.held), "url"])))
    sorts["search: nothing, by another team"] = _Sort(of(found), "other")
    sorts["search: part of a value, by another team"] = _Sort(of(found, **search["part of a value"]), "other")
    return {
        "overview": _Sort(of("/ui/overview", period=lambda c: c.choice(["1h", "24h", "7d", "30d"]))),
        "overview, by another team": _Sort(of("/ui/overview"), "other"),
        "pipeline": _Sort(of("/ui/pipeline")),
        "feeds": _Sort(of("/ui/feeds")),
        "overlap of 100 feeds": _Sort(of("/ui/feeds/overlap")),
        "overlap of 100 feeds, by another team": _Sort(of("/ui/feeds/overlap"), "other"),
        "worth of 100 feeds (API)": _Sort(of("/api/v1/feeds/worth")),
        "deliveries": _Sort(of("/ui/deliveries")),
        "activity": _Sort(of("/ui/activity")),
        "activity: logs": _Sort(of("/ui/activity/logs")),
        "delivery": _Sort(of("/ui/deliveries/far")),
        "node: source": _Sort(of(f"/ui/nodes/{_POLLED}")),
        "node: processor": _Sort(of("/ui/nodes/inbound")),
        "node: output": _Sort(of("/ui/nodes/everything")),
        **sorts,
        "facets (API)": _Sort(post("/api/v1/indicators/facets", lambda _: {})),
        "detail": _Sort(of(f"{found}/detail", value=lambda c: c.choice(values.held))),
        "detail of an address": _Sort(of(f"{found}/detail", value=lambda c: c.choice(values.addresses))),
        "related, domain": _Sort(of(f"{found}/related", value=lambda c: c.choice(values.domains))),
        "related, URL": _Sort(of(f"{found}/related", value=lambda c: c.choice(values.urls))),
        "why (API)": _Sort(of("/api/v1/indicators/why", value=lambda c: c.choice(values.held))),
        "look-up of one (API)": _Sort(post("/api/v1/indicators/lookup", lambda c: {"values": [c.choice(values.held)]})),
        "look-up of 10,000 (API)": _Sort(post("/api/v1/indicators/lookup", lambda c: {"values": values.many(c)})),
    }


def _address(path: str, query: dict[str, Any]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


class _Client:
    """A connection to the server, with a key."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
        self._head = {"Authorization": f"Bearer {key}"}

    def connect(self) -> None:
        """Connect anew: the server closes what was idle for some seconds."""
        self._connection.close()
        self._connection.connect()

    def ask(self, path: str, body: dict[str, Any] | None) -> int:
        """Ask, and read the whole answer; returns its size."""
        data = None if body is None else json.dumps(body)
        more = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request("POST" if data else "GET", path, data, {**self._head, **more})
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text[:500].decode(errors='replace')}")
        return len(text)


def _asked(client: _Client, sort: _Sort, times: int, seconds: float) -> dict[str, Any]:
    """p50 and p95 of wall and CPU in milliseconds; the first request apart, since it may fill a cache."""
    chance = random.Random(3)
    wall, cpu, size = [], [], 0
    client.connect()
    end = time.monotonic() + seconds
    while len(wall) <= times and (len(wall) <= _LEAST or time.monotonic() < end):
        path, body = sort.ask(chance)
        with spent() as one:
            size = client.ask(path, body)
        wall.append(one.wall)
        cpu.append(one.cpu)
    return {
        "requests": len(wall) - 1,
        "p50_ms": _part(wall[1:], 0.5),
        "p95_ms": _part(wall[1:], 0.95),
        "cpu_p50_ms": _part(cpu[1:], 0.5),
        "cpu_p95_ms": _part(cpu[1:], 0.95),
        "first_ms": round(wall[0] * 1000, 1),
        "first_cpu_ms": round(cpu[0] * 1000, 1),
        "bytes": size,
    }


def _part(seconds: list[float], share: float) -> float:
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 1)


@contextmanager
def _polls(place: Path, scheduler: Scheduler) -> Iterator[list[int]]:
    """Poll after poll of the largest feed, 1 % of which differs each time; yields how many there were."""
    stop, done = threading.Event(), [0]

    def polls() -> None:
        while not stop.is_set():
            version = place / f"{_POLLED}.{'b' if done[0] % 2 == 0 else 'a'}"
            (place / f"{_POLLED}.csv").write_bytes(version.read_bytes())
            scheduler.wake(_POLLED)
            time.sleep(0.2)
            while scheduler.polling and not stop.is_set():
                time.sleep(0.05)
            done[0] += 1

    thread = threading.Thread(target=polls)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def _write_feeds(place: Path, n: int) -> int:
    """The feeds' files; the largest has a fifth of all claims, the smallest some thousandth."""
    universe = generate.values(int(n * 0.75), seed=11)
    chance = np.random.default_rng(11)
    weights = 1 / np.arange(1, _FEEDS + 1) ** 0.9
    sizes = np.maximum(10, (n * weights / weights.sum()).astype(int))
    for number, size in enumerate(sizes.tolist()):
        start = int(chance.integers(0, universe.len()))
        values = pl.concat([universe[start : start + size], universe[: max(0, start + size - universe.len())]])
        file = place / f"feed-{number:03d}.csv"
        generate.attributed(values, chance).write_csv(file)
    first = place / f"{_POLLED}.csv"
    (place / f"{_POLLED}.a").write_bytes(first.read_bytes())
    generate.churned(place / f"{_POLLED}.b", first, 0.01)
    ours = universe[universe.len() // 2 :].filter(~universe[universe.len() // 2 :].str.contains("http"))[:1000]
    (place / "ours.txt").write_text("\n".join(ours), encoding="utf-8")
    return int(sizes.sum())


def _configuration(far_side: dict[str, Any]) -> dict[str, Any]:
    columns = {"value": "indicator", "confidence": "confidence", "first_seen": "first_seen", "tags": "tag"}
    names = [f"feed-{number:03d}" for number in range(_FEEDS)]
    feed = {"kind": "csv", "columns": columns, "every": "24h", "tlp": "clear", "distribution": "server"}
    shared = {"inputs": "inbound", "distribution": "server"}
    return {
        "instance": "benchmark",
        "store": {"threads": 1, "memory_limit": "2GB"},
        "teams": {"other": {}},
        "sources": {
            **{name: {**feed, "url": f"{name}.csv"} for name in names},
            "by-hand": {"kind": "local"},
            "ours": {"kind": "lines", "url": "ours.txt", "every": "24h"},
        },
        "processors": {"inbound": {"kind": "aggregate", "inputs": names, "allow": "ours", "distribution": "server"}},
        "outputs": {
            "everything": {"kind": "list", **shared},
            "high": {"kind": "list", "where": "confidence >= 75", **shared},
            "far": {"where": "confidence >= 95", **shared, **far_side},
        },
    }
