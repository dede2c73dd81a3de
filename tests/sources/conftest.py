"""A loopback web server that answers as a test tells it to."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Answer = tuple[int, dict[str, str], bytes]


class _Server(ThreadingHTTPServer):
    """Clients that break off, or refuse the certificate, are what the tests are about: no report of them."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@dataclass
class Web:
    """The server: set `answer`, or `script` for what an answer cannot say; read `requests`."""

    server: ThreadingHTTPServer
    scheme: str = "http"
    answer: Callable[[str], Answer] = lambda path: (200, {}, b"a.com\n")
    script: Callable[[BaseHTTPRequestHandler], None] | None = None
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/feed", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server.server_address[1]}{path}"


def _handler(web: list[Web]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            web[0].requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            if web[0].script is not None:
                web[0].script(self)
                return
            status, headers, body = web[0].answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[..., Web]]:
    """Start a server, with TLS if a context is given; all are stopped after the test."""
    started: list[tuple[Web, threading.Thread]] = []

    def start(context: ssl.SSLContext | None = None) -> Web:
        holder: list[Web] = []
        server = _Server(("127.0.0.1", 0), _handler(holder))
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        web = Web(server, "https" if context else "http")
        holder.append(web)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((web, thread))
        return web

    yield start
    for web, thread in started:
        web.stop.set()
        web.server.shutdown()
        web.server.server_close()
        thread.join()


@pytest.fixture
def web(serve: Callable[..., Web]) -> Web:
    """A server without TLS."""
    return serve()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
