"""A small loopback web server that serves the lab's feeds, and can be told to serve the next version."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class FeedServer:
    """Serves bodies by path on 127.0.0.1, with ETags; a context manager."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {
            "/covid19.csv": packaged("covid19/003.csv"),
            "/cert-pa.txt": packaged("cert-pa.txt"),
            "/cybersaiyan": packaged("cybersaiyan.csv"),
            "/wl-ipv4.txt": packaged("wl-ipv4.txt"),
        }
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = bodies.get(urlsplit(self.path).path)
                etag = f'"{hashlib.sha256(body or b"").hexdigest()[:16]}"'
                if body is None:
                    self.send_error(404)
                elif self.headers.get("If-None-Match") == etag:
                    self.send_response(304)
                    self.end_headers()
                else:
                    self.send_response(200)
                    self.send_header("ETag", etag)
                    self.send_header("Content-Type", "text/plain; charset=utf-8")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: the demonstration has its own words."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="feeds", daemon=True)

    @property
    def url(self) -> str:
        """Where the feeds are."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def packaged(name: str) -> bytes:
    """A file of the demonstration's data."""
    return files("tipline.demo").joinpath("data").joinpath(name).read_bytes()
