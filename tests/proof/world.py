"""The outside of a crash test: changing feeds, the stand-in, and what people did by hand."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tipline.sandbox import Sandbox

STEP_SECONDS = 420  # how far one step moves the time: back-offs pass
HASHES = [f"{number:064x}" for number in range(1, 41)]
ADDRESSES = [f"45.{a}.{b}.7" for a in range(1, 7) for b in range(1, 11)]
NAMES = [f"{host}.evil{number}.com" for number in range(1, 7) for host in ("www", "cdn", "x")]
URLS = [f"http://{name}/a/{number}.exe" for number, name in enumerate(NAMES)]
POOL = [*HASHES, *ADDRESSES, *NAMES, *URLS]
ALLOWABLE = [*HASHES[:5], *ADDRESSES[:5], *URLS[:5]]

CONFIGURATION = """\
instance: crash
data: {data}
store: {{threads: 1}}
sources:
  a: {{kind: lines, url: {feeds}/a, allow_private: true, retries: 0, tlp: clear, guard: {{enabled: false}}}}
  b: {{kind: csv, url: {feeds}/b, allow_private: true, retries: 0, tlp: clear, guard: {{enabled: false}},
       columns: {{value: value, confidence: confidence, description: note}}}}
  hand: {{kind: local, tlp: clear}}
processors:
  inbound: {{kind: aggregate, inputs: [a, b, hand]}}
outputs:
  listed: {{kind: list, inputs: inbound, guard: {{enabled: false}}}}
  written: {{kind: file, inputs: inbound, path: written.txt, guard: {{enabled: false}}}}
  defender:
    kind: microsoft-defender
    inputs: inbound
    description: "{{description}} {{confidence}}"
    guard: {{enabled: false}}
    credentials: &entra {credentials}
  sentinel:
    kind: microsoft-sentinel
    inputs: inbound
    workspace_id: {workspace}
    subscription_id: {subscription}
    resource_group: {group}
    workspace_name: {workspace_name}
    guard: {{enabled: false}}
    credentials: *entra
"""


@dataclass
class Deed:
    """What a person does to one value, and whether the program has said that it is done."""

    number: int
    what: str  # add, remove, allow, disallow
    value: str
    acknowledged: bool = False


@dataclass
class Outside:
    """Feeds that change at every step of a seeded plan, the stand-in's time with them, and people's deeds."""

    sandbox: Sandbox
    seed: int
    feeds: dict[str, dict[str, tuple[int, str]]] = field(default_factory=lambda: {"a": {}, "b": {}})
    deeds: list[Deed] = field(default_factory=list)
    steps: int = 0
    finishing: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    events: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        decide = self.sandbox.faults.decide

        def counted(operation: str) -> Any:
            self.events.release()
            return decide(operation)

        setattr(self.sandbox.faults, "decide", counted)  # noqa: B010 - every call of the far side passes here

    def await_events(self, count: int, seconds: float) -> bool:
        """Wait until the program has asked so many things of feeds and far sides; whether it did in time."""
        while self.events.acquire(blocking=False):
            pass
        return all(self.events.acquire(timeout=seconds) for _ in range(count))

    def now(self) -> dict[str, Any]:
        """How far the test's time is ahead."""
        return {"ahead": self.steps * STEP_SECONDS, "finishing": self.finishing}

    def step(self) -> dict[str, Any]:
        """Time passes; unless all is to end, the feeds change and somebody does something."""
        with self.lock:
            self.steps += 1
            self.sandbox.advance(STEP_SECONDS)
            if self.finishing:
                return {**self.now(), "deed": None}
            for name in self.feeds:
                self._change(self.feeds[name])
            return {**self.now(), "deed": self._deed()}

    def _change(self, feed: dict[str, tuple[int, str]]) -> None:
        for value in self.random.sample(POOL, 12):
            if value in feed and self.random.random() < 0.6:
                del feed[value]
            else:
                feed[value] = (self.random.choice([30, 60, 90]), self.random.choice(["one", "two"]))

    def _deed(self) -> dict[str, Any]:
        what = self.random.choice(["add", "add", "remove", "allow", "disallow"])
        value = self.random.choice(POOL if what in {"add", "remove"} else ALLOWABLE)
        deed = Deed(len(self.deeds), what, value)
        self.deeds.append(deed)
        return {"number": deed.number, "what": what, "value": value}

    def done(self, number: int) -> dict[str, Any]:
        """The program says that a deed is done."""
        self.deeds[number].acknowledged = True
        return {}

    def body(self, name: str) -> str:
        """A feed as it is now."""
        with self.lock:
            rows = sorted(self.feeds[name].items())
        if name == "a":
            return "# feed a\n" + "".join(f"{value}\n" for value, _ in rows)
        return "value,confidence,note\n" + "".join(f"{value},{conf},{note}\n" for value, (conf, note) in rows)

    def expected(self) -> tuple[set[str], set[str]]:
        """What must be published at the end, and what may be: a deed that was killed may count or not."""
        added, allowed = self._settled("add", "remove"), self._settled("allow", "disallow")
        fed = {value for feed in self.feeds.values() for value in feed}
        may = {value for value in POOL if value in fed or added.get(value, {False}) != {False}}
        must = {value for value in may if value in fed or added[value] == {True}}
        return (
            {value for value in must if allowed.get(value, {False}) == {False}},
            {value for value in may if allowed.get(value, {False}) != {True}},
        )

    def _settled(self, do: str, undo: str) -> dict[str, set[bool]]:
        """What may hold of each value: after a deed that was not acknowledged, both."""
        state: dict[str, set[bool]] = {}
        for deed in self.deeds:
            if deed.what in {do, undo}:
                before = set() if deed.acknowledged else state.get(deed.value, {False})
                state[deed.value] = {deed.what == do} | before
        return state

    def twice(self) -> list[Any]:
        """What a far side shows more than once; must be empty at every moment."""
        defender = Counter(
            (i["indicatorType"], i["indicatorValue"], i["action"], str(i.get("rbacGroupNames")))
            for i in self.sandbox.defender_indicators()
        )
        sentinel = Counter(o["data"]["pattern"] for o in self.sandbox.sentinel_objects() if o["active"])
        return [each for counts in (defender, sentinel) for each, count in counts.items() if count > 1]

    def write_configuration(self, folder: Path, feeds: str) -> Path:
        """The program's configuration."""
        box = self.sandbox
        credentials = {
            "tenant_id": box.tenant_id, "client_id": box.client_id, "client_secret": box.client_secret,
            "login_url": box.login_url, "ca_file": str(box.ca_file), "defender_url": box.defender_url,
            "sentinel_url": box.sentinel_url, "arm_url": box.arm_url,
        }  # fmt: skip
        path = folder / "crash.yml"
        path.write_text(
            CONFIGURATION.format(
                data=folder / "data",
                feeds=feeds,
                credentials=json.dumps(credentials),
                workspace=box.workspace_id,
                subscription=box.subscription_id,
                group=box.resource_group,
                workspace_name=box.workspace_name,
            )
        )
        return path


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is what this is about."""


@contextmanager
def serving(outside: Outside) -> Iterator[str]:
    """The outside over HTTP: feeds, and the program's questions; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, what, *rest = self.path.split("/")
            outside.events.release()
            if what in outside.feeds:
                self._send(outside.body(what).encode())
            elif what == "step":
                self._send(json.dumps(outside.step()).encode())
            elif what == "done":
                self._send(json.dumps(outside.done(int(rest[0]))).encode())
            else:
                self._send(json.dumps(outside.now()).encode())

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
