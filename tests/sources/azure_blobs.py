"""Azure's Blob service for tests, as far as adlfs asks: containers, block blobs, listings by prefix, copies.

Microsoft's own emulator (Azurite, a Node program of 370 packages) is too heavy for every run; this one's answers were
compared with it: `TIPLINE_AZURITE=/path/to/azurite-blob` runs the same tests against that, too.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCOUNT = "devstoreaccount1"
#: The key that every emulator of Azure's storage has, from Microsoft's documentation.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def connection_string(port: int) -> str:
    """What the client is given."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )


@contextmanager
def azure_blobs() -> Iterator[str]:
    """Run the service; gives its connection string."""
    server = _Blobs()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield connection_string(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Blobs(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.containers: dict[str, dict[str, bytes]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Blobs
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        container, name, query = self._asked()
        blobs = self.server.containers.get(container)
        if blobs is None:
            self._send(404, code="ContainerNotFound")
        elif query.get("comp") == ["list"]:
            self._send(200, _listing(container, blobs, query).encode(), {"Content-Type": "application/xml"})
        elif not name:
            self._send(200)
        elif name not in blobs:
            self._send(404, code="BlobNotFound")
        else:
            self._send_blob(blobs[name])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        container, name, query = self._asked()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not name and query.get("restype") == ["container"]:
            self._send(409 if container in self.server.containers else 201, code="ContainerAlreadyExists")
            self.server.containers.setdefault(container, {})
            return
        copied = self.headers.get("x-ms-copy-source")
        if copied:
            _, place, source = unquote(urlsplit(copied).path).lstrip("/").split("/", 2)
            body = self.server.containers[place][source]
        self.server.containers[container][name] = body
        more = {"x-ms-copy-id": "0", "x-ms-copy-status": "success"} if copied else {}
        self._send(202 if copied else 201, headers={**_about(body), **more})

    def do_DELETE(self) -> None:
        container, name, _ = self._asked()
        there = self.server.containers.get(container, {}).pop(name, None) is not None
        self._send(202 if there else 404, code="BlobNotFound")

    def _asked(self) -> tuple[str, str, dict[str, list[str]]]:
        if not self.headers.get("Authorization", "").startswith(f"SharedKey {ACCOUNT}:"):
            raise AssertionError("a request without a signature")
        parts = urlsplit(self.path)
        _, container, name = [*unquote(parts.path).lstrip("/").split("/", 2), ""][:3]
        return container, name, parse_qs(parts.query)

    def _send_blob(self, body: bytes) -> None:
        span = self.headers.get("x-ms-range") or self.headers.get("Range") or ""
        headers = {**_about(body), "x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"}
        if not span or self.command == "HEAD":
            self._send(200, body, headers)
            return
        start, _, end = span.removeprefix("bytes=").partition("-")
        part = body[int(start) : int(end or len(body)) + 1]
        if not part:
            self._send(416, code="InvalidRange")
            return
        told = f"bytes {start}-{int(start) + len(part) - 1}/{len(body)}"
        self._send(206, part, {**headers, "Content-Range": told})

    def _send(self, status: int, body: bytes = b"", headers: Any = None, code: str = "") -> None:
        self.send_response(status)
        if status >= 400:
            self.send_header("x-ms-error-code", code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


def _about(body: bytes) -> dict[str, str]:
    return {"ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"', "Last-Modified": formatdate(0, usegmt=True)}


def _listing(container: str, blobs: dict[str, bytes], query: dict[str, list[str]]) -> str:
    prefix, delimiter = (query.get(name, [""])[0] for name in ("prefix", "delimiter"))
    found: dict[str, str] = {}
    for name, body in sorted(blobs.items()):
        if not name.startswith(prefix):
            continue
        head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if cut:
            found[f"{prefix}{head}{cut}"] = f"<BlobPrefix><Name>{escape(prefix + head + cut)}</Name></BlobPrefix>"
        else:
            about = _about(body)
            found[name] = (
                f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{about['Last-Modified']}</Last-Modified>"
                f"<Etag>{escape(about['ETag'])}</Etag><Content-Length>{len(body)}</Content-Length>"
                "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{escape(container)}">'
        f"<Prefix>{escape(prefix)}</Prefix><Blobs>{''.join(found.values())}</Blobs><NextMarker/></EnumerationResults>"
    )
