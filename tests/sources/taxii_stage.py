"""TAXII servers for tests: medallion in a thread, and a stand-in that speaks 2.0 or 2.1 with its faults."""

from __future__ import annotations

import json
import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from medallion import application_instance, register_blueprints, set_config
from werkzeug.serving import make_server

DATA = Path(__file__).parents[1] / "data" / "taxii" / "medallion-default_data.json"
HIGH_VALUE = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
WRITABLE = "365fed99-08fa-fdcd-a1b3-fb247eb41d01"
TAXII_21 = "application/taxii+json;version=2.1"
TAXII_20 = "application/vnd.oasis.taxii+json; version=2.0"


@contextmanager
def medallion(folder: Path, page: int = 100, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run medallion over its default data, with TLS if a context is given; gives its address.

    User `user`, password `pass`.
    """
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = make_server("127.0.0.1", 0, application_instance, threaded=True, ssl_context=context)
    url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    data = folder / "data.json"
    data.write_text(DATA.read_text().replace("http://localhost:5000", url))
    backend = {
        "module": "medallion.backends.memory_backend",
        "module_class": "MemoryBackend",
        "filename": str(data),
    }
    configuration = {"users": {"user": "pass"}, "taxii": {"max_page_size": page}, "backend": backend}
    for name in configuration:
        set_config(application_instance, name, configuration)
    if not application_instance.blueprints:
        register_blueprints(application_instance)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class StandIn:
    """One API root with one collection; set its members to make it go wrong.

    Args:
        web: loopback server of the fixture `web`.
        version: 2.0 or 2.1.
    """

    def __init__(self, web: Any, version: str) -> None:
        self.web = web
        self.version = version
        self.objects: list[tuple[str, dict[str, Any]]] = []
        self.dates = True
        self.manifest = True
        self.media_type = TAXII_21 if version == "2.1" else TAXII_20
        self.most = 1000
        self.broken: set[int] = set()
        self.tokens = True
        self.pages = 0
        self.root = "/api/"
        self.collection = "c1"
        web.answer = self.answer

    def add(self, moment: str, item: dict[str, Any]) -> None:
        """An object, added at a time."""
        self.objects.append((moment, item))

    def answer(self, target: str) -> tuple[int, dict[str, str], bytes]:
        """What a request gets."""
        asked, headers = urlsplit(target), self.web.requests[-1][1]
        if self.version == "2.0" and "version=2.0" not in headers["accept"]:
            return 406, {}, b"{}"
        root = self.root if "://" in self.root else self.web.url(self.root)
        documents = {
            "/taxii2/": {"title": "stand-in", "api_roots": [root]},
            "/api/": {"title": "root", "versions": ["taxii-2.0"], "max_content_length": 1 << 20},
            "/api/collections/": {"collections": [self._about()]},
            f"/api/collections/{self.collection}/": self._about(),
        }
        if asked.path in documents:
            return 200, {"Content-Type": self.media_type}, json.dumps(documents[asked.path]).encode()
        if asked.path == f"/api/collections/{self.collection}/objects/":
            return self._page(parse_qs(asked.query), headers)
        if asked.path == f"/api/collections/{self.collection}/manifest/" and self.manifest:
            entries = [{"id": item["id"], "date_added": moment} for moment, item in self._wanted(parse_qs(asked.query))]
            return 200, {"Content-Type": self.media_type}, json.dumps({"objects": entries}).encode()
        return 404, {}, b"{}"

    def _about(self) -> dict[str, Any]:
        return {"id": self.collection, "title": "The Collection", "can_read": True}

    def _wanted(self, query: dict[str, list[str]]) -> list[tuple[str, dict[str, Any]]]:
        after = query.get("added_after", [""])[0]
        return [each for each in self.objects if each[0] > after]

    def _page(self, query: dict[str, list[str]], headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.pages += 1
        if self.pages in self.broken:
            return 500, {}, b"{}"
        found = self._wanted(query)
        if self.version == "2.0":
            start, end = (int(n) for n in headers["range"].removeprefix("items ").split("-"))
            if start and start >= len(found):
                return 416, {}, b""
            part = found[start : min(end + 1, start + self.most)]
            more = {"Content-Range": f"items {start}-{start + len(part) - 1}/{len(found)}"}
            body: dict[str, Any] = {"type": "bundle", "objects": [item for _, item in part]}
        else:
            token = query.get("next", [None])[0]
            if token and not self.tokens:
                return 404, {}, b"{}"
            start = int(token or 0)
            part = found[start : start + min(self.most, int(query["limit"][0]))]
            more = {}
            body = {"objects": [item for _, item in part]}
            if start + len(part) < len(found):
                body |= {"more": True, "next": str(start + len(part))}
        if part and self.dates:
            more["X-TAXII-Date-Added-Last"] = part[-1][0]
        status = 206 if self.version == "2.0" and len(part) < len(found) else 200
        return status, {"Content-Type": self.media_type, **more}, json.dumps(body).encode()
