"""Requests with a body: sent again like any other, never turned into another request by a redirect."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tipline.errors import FetchError
from tipline.sources import fetch_http
from tipline.sources.fetch_connect import Body
from tipline.sources.fetch_settings import FetchSettings


class _Server(ThreadingHTTPServer):
    seen: list[tuple[str, str, str | None, bytes]]
    answers: list[tuple[int, dict[str, str]]]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.command, self.path, self.headers.get("Content-Type"), body))
        status, headers = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": "2", "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Handler)
    made.seen = []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def post(server: _Server, spool: Path, *answers: tuple[int, dict[str, str]]) -> bytes:
    server.answers = list(answers)
    url = f"http://127.0.0.1:{server.server_address[1]}/search"
    settings = FetchSettings(url=[url], allow_private=True, retries=1, timeout=5)
    part, _, _ = fetch_http.get(settings, url, None, spool, Body(b'{"a": 1}'))
    assert part is not None
    return part.path.read_bytes()


def test_a_body_is_sent_again_with_every_try(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_http, "sleep", lambda _: None)
    assert post(server, tmp_path, (503, {}), (200, {})) == b"{}"
    assert server.seen == [("POST", "/search", "application/json", b'{"a": 1}')] * 2


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_make_it_a_get_is_refused(status: int, server: _Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="give the final address"):
        post(server, tmp_path, (status, {"Location": "/other"}))


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_is_followed(status: int, server: _Server, tmp_path: Path) -> None:
    assert post(server, tmp_path, (status, {"Location": "/other"}), (200, {})) == b"{}"
    assert [path for _, path, _, _ in server.seen] == ["/search", "/other"]


def test_a_body_does_not_stand_in_messages() -> None:
    assert "hunter2" not in repr(Body(b"hunter2"))
