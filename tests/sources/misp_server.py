"""A small MISP server for tests: restSearch over events and attributes, with the quirks of the real one.

Numbers are strings, booleans are not; a page behind the end is empty; `deleted` defaults to 0; `to_ids` and
`deleted` cut the attributes of an event, while `type` only selects events; publishing changes no timestamp.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY = "k" * 40
FORBIDDEN = {
    "name": "Authentication failed. Please make sure you pass the API key of an API enabled user along.",
    "message": "Authentication failed.",
    "url": "/",
}


class _Quiet(ThreadingHTTPServer):
    """Clients that refuse the certificate are what a test is about."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class MispServer:
    """The server: `events` is its table, `log` what was asked."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.clock = 1_700_000_000
        self.bare = False  # without the envelope, as some versions and proxies answer
        self.warned: set[str] = set()  # values on its warning lists
        self.stuck = False  # a server that ignores paging
        self.fail: Callable[[str, dict[str, Any]], tuple[int, Any] | None] = lambda scope, body: None
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

    def now(self) -> str:
        self.clock += 3600
        return str(self.clock)

    def add(self, uuid: str, *attributes: tuple[str, str], published: bool = True, tags: tuple[str, ...] = ()) -> None:
        stamp = self.now()
        self.events[uuid] = {
            "id": str(len(self.events) + 1),
            "orgc_id": "1",
            "date": "2026-01-01",
            "threat_level_id": "2",
            "info": f"event {uuid[:4]}",
            "published": published,
            "uuid": uuid,
            "attribute_count": str(len(attributes)),
            "analysis": "2",
            "timestamp": stamp,
            "distribution": "1",
            "publish_timestamp": stamp if published else "0",
            "sharing_group_id": "0",
            "Orgc": {
                "id": "1",
                "name": "ACME",
                "uuid": "55f6ea5e-51ac-4344-bc8c-4170950d210f",
                "local": True,
            },
            "Attribute": [],
            "ShadowAttribute": [],
            "Galaxy": [],
            "Object": [],
            "EventReport": [],
        }
        if tags:
            self.events[uuid]["Tag"] = [{"id": "1", "name": name, "local": False} for name in tags]
        for kind, value in attributes:
            self.attribute(uuid, kind, value, stamp)

    def attribute(self, uuid: str, kind: str, value: str, stamp: str | None = None, **more: Any) -> dict[str, Any]:
        made = {
            "id": str(len(self.events[uuid]["Attribute"]) + 1),
            "type": kind,
            "category": "Network activity",
            "to_ids": True,
            "uuid": f"{len(self.events[uuid]['Attribute']):07}{uuid[7:]}",
            "event_id": self.events[uuid]["id"],
            "distribution": "5",
            "timestamp": stamp or self.touch(uuid),
            "comment": "",
            "deleted": False,
            "object_id": "0",
            "object_relation": None,
            "first_seen": None,
            "last_seen": None,
            "value": value,
            **more,
        }
        self.events[uuid]["Attribute"].append(made)
        return made

    def touch(self, uuid: str) -> str:
        self.events[uuid]["timestamp"] = self.now()
        return str(self.clock)

    def delete(self, uuid: str, number: int) -> None:
        """Delete an attribute softly, as the interface does."""
        self.events[uuid]["Attribute"][number].update(deleted=True, timestamp=self.touch(uuid))

    def tag(self, uuid: str, *names: str) -> None:
        """Give an event other tags: the real server takes its publication back with that."""
        self.events[uuid]["Tag"] = [{"id": "1", "name": name, "local": False} for name in names]
        self.publish(uuid, published=False)

    def publish(self, uuid: str, published: bool = True) -> None:
        self.events[uuid]["published"] = published
        if published:
            self.events[uuid]["publish_timestamp"] = self.now()
        else:
            self.touch(uuid)

    def answer(self, scope: str, body: dict[str, Any]) -> tuple[int, Any]:
        self.log.append((scope, body))
        failed = self.fail(scope, body)
        if failed:
            return failed
        rows = self._events(body) if scope == "events" else self._attributes(body)
        if body.get("limit") and not self.stuck:
            start = (int(body.get("page", 1)) - 1) * int(body["limit"])
            rows = rows[start : start + int(body["limit"])]
        found: Any = [{"Event": row} for row in rows] if scope == "events" else {"Attribute": rows}
        return 200, found if self.bare else {"response": found}

    def _chosen(self, event: dict[str, Any], body: dict[str, Any]) -> bool:
        names = {tag["name"] for tag in event.get("Tag", [])}
        tags = body.get("tags", {})
        return (
            ("uuid" not in body or event["uuid"] in body["uuid"])
            and ("published" not in body or event["published"] == bool(int(body["published"])))
            and int(event["publish_timestamp"]) >= int(body.get("publish_timestamp", 0))
            and (not tags.get("OR") or bool(names & set(tags["OR"])))
            and not names & set(tags.get("NOT", ()))
        )

    def _since(self, body: dict[str, Any]) -> int:
        given = str(body.get("timestamp", 0))
        return self.clock - int(given[:-1]) if given.endswith("s") else int(given)

    def _events(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for event in self.events.values():
            if self._chosen(event, body) and int(event["timestamp"]) >= self._since(body):
                kept = [] if body.get("metadata") else self._kept(event, body)
                found.append({**event, "Attribute": kept})
        return found

    def _kept(self, event: dict[str, Any], body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = body.get("deleted", 0)
        deleted = wanted if isinstance(wanted, list) else [wanted]
        return [
            attribute
            for attribute in event["Attribute"]
            if int(attribute["deleted"]) in deleted
            and ("to_ids" not in body or attribute["to_ids"] == bool(int(body["to_ids"])))
            and not (body.get("enforceWarninglist") and attribute["value"] in self.warned)
        ]

    def _attributes(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        head = ("org_id", "distribution", "publish_timestamp", "id", "info", "orgc_id", "uuid")
        return [
            {
                **attribute,
                "event_uuid": event["uuid"],
                "Event": {name: event[name] for name in head if name in event},
                "Tag": [{**tag, "inherited": 1} for tag in event.get("Tag", [])],
            }
            for event in self.events.values()
            if self._chosen(event, body)
            for attribute in self._kept(event, body)
            if ("type" not in body or attribute["type"] in body["type"])
            and int(attribute["timestamp"]) >= self._since(body)
        ]


def _handler(server: MispServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(400, {"name": "Bad Request", "message": "no parameters"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            scope = self.path.strip("/").partition("/")[0]
            if self.headers.get("Accept") != "application/json":
                self._send(200, "<!DOCTYPE html>")
            elif self.headers.get("Authorization") != KEY:
                self._send(403, FORBIDDEN)
            elif self.headers.get("Content-Type") != "application/json" or not self.path.endswith("/restSearch"):
                self._send(404, {"name": "Invalid", "message": "Invalid", "url": self.path})
            else:
                self._send(*server.answer(scope, body))

        def _send(self, status: int, document: Any) -> None:
            body = json.dumps(document).encode()
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("X-Result-Count", "3")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler
