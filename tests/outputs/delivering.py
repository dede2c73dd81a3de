"""A delivered output of any kind on a store of its own, and a small HTTP server that tests steer."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from engine.lab import KINDS, Lab, WaitClock
from tipline.config.schema import Configuration, Settings
from tipline.engine.deliver import Deliverer
from tipline.engine.graph import Graph
from tipline.outputs.delivery import Delivered


class Bench(Lab):
    """One output of one kind, and its store."""

    def __init__(self, kind: type[Delivered], **settings: Any) -> None:
        KINDS[kind.kind] = kind
        super().__init__(kind.kind, None, **settings)  # type: ignore[arg-type]

    def build(self) -> Deliverer:
        kind = KINDS[self.which]
        values = {"kind": kind.kind, "inputs": ["inbound"], **self.options}
        node = kind(self.which, kind.Settings.model_validate(values))
        configuration = Configuration(Path("test.yaml"), Settings(instance=self.instance), outputs={self.which: node})
        graph = Graph(configuration, {self.which: self.number})
        return Deliverer(self.lake, self.control, graph, self.which, clock=self.now, stop=self.stop)

    def advance(self, **by: float) -> None:
        self.ahead += timedelta(**by)

    def there(self) -> list[str]:
        raise NotImplementedError


@contextmanager
def bench(kind: type[Delivered], **settings: Any) -> Iterator[Bench]:
    made = Bench(kind, **settings)
    try:
        yield made
    finally:
        made.close()


def no_waits(monkeypatch: Any) -> list[float]:
    """Waits of HTTP far sides pass at once; what was waited is in the list."""
    waited: list[float] = []

    class Clock(WaitClock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            waited.append(seconds)

    monkeypatch.setattr("tipline.outputs.http_calls.make_clock", Clock)
    return waited


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Said:
    """An answer; `cut`: the connection breaks instead, after the request was acted on."""

    status: int = 200
    document: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


class Server:
    """A server on loopback. Subclasses answer; `faults` come first, one for each request."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.log: list[Asked] = []
        self.faults: list[Callable[[Asked], Said | None]] = []
        self._lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), _handler(self))
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked) -> Said:
        return Said()

    def handle(self, asked: Asked) -> Said:
        with self._lock:
            self.log.append(asked)
            fault = self.faults.pop(0) if self.faults else None
            return (fault(asked) if fault else None) or self.answer(asked)


def refuse(status: int, document: Any = None, **headers: str) -> Callable[[Asked], Said]:
    """Nothing is done, and this is said."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Said(status, document, named)


def fine(_: Asked) -> None:
    """No fault at this request."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = server.handle(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body))
            if said.cut:
                self.close_connection = True
                return
            raw = b"" if said.document is None else json.dumps(said.document).encode()
            self.send_response(said.status)
            for name, value in {"Content-Type": "application/json", **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _any  # noqa: N815 - the names of the standard library

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler
