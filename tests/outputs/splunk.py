"""Stand-ins for Splunk's HTTP Event Collector and KV store, with the answers that its documentation lists."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from outputs.delivering import Asked, Said, Server

TOKEN = "6e4f0e9c-3f0d-4a7e-9b1b-7a3a5c1d2e4f"
_DECODER = json.JSONDecoder()


class Hec(Server):
    """The collector; `parse_first`: whether a batch with a bad event is refused before any of it is indexed."""

    def __init__(self) -> None:
        super().__init__()
        self.indexed: list[dict[str, Any]] = []
        self.indexes = ("main", "threat")
        self.parse_first = False
        self.slow: int | None = None  # of a token with indexer acknowledgement: questions before a batch is indexed
        self.asked = 0
        self._waiting: dict[int, list[dict[str, Any]]] = {}

    def answer(self, asked: Asked) -> Said:
        if asked.path.endswith("/health"):
            return Said(200, {"text": "HEC is healthy", "code": 17})
        refused = self._entry(asked)
        if refused is not None:
            return refused
        if asked.path.endswith("/ack"):
            return Said(200, {"acks": {str(each): self._is_indexed(each) for each in asked.json()["acks"]}})
        events, number = [], 0
        text = asked.body.decode().strip()
        if not text:
            return Said(400, {"text": "No data", "code": 5})
        while text:
            event, end = _DECODER.raw_decode(text)
            text = text[end:].lstrip()
            refused = self._refusal(event)
            if refused:
                if not self.parse_first:
                    self.indexed += events
                return Said(400, {"text": refused[1], "code": refused[0], "invalid-event-number": number})
            events.append(event)
            number += 1
        if self.slow is not None:
            number = len(self._waiting)
            self._waiting[number] = events
            self.asked = 0
            return Said(200, {"text": "Success", "code": 0, "ackId": number})
        self.indexed += events
        return Said(200, {"text": "Success", "code": 0})

    def _entry(self, asked: Asked) -> Said | None:
        """Why somebody does not come in."""
        signed = asked.headers.get("authorization", "")
        if not signed:
            return Said(401, {"text": "Token is required", "code": 2})
        if not signed.startswith("Splunk "):
            return Said(401, {"text": "Invalid authorization", "code": 3})
        if signed != f"Splunk {TOKEN}":
            return Said(403, {"text": "Invalid token", "code": 4})
        if self.slow is not None and not _channel(asked):
            return Said(400, {"text": "Data channel is missing", "code": 10})
        return None

    def _is_indexed(self, ack: int) -> bool:
        self.asked += 1
        if self.slow is None or self.asked <= self.slow:
            return False
        self.indexed += self._waiting.pop(ack, [])
        return True

    def newest(self) -> dict[str, dict[str, Any]]:
        """What a search for the newest event of each key gives, without those removed."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.indexed:
            found[event["event"]["indicator"]] = event["event"]
        return {value: event for value, event in found.items() if event["action"] != "remove"}

    def _refusal(self, event: dict[str, Any]) -> tuple[int, str] | None:
        if "event" not in event:
            return 12, "Event field is required"
        if not event["event"]:
            return 13, "Event field cannot be blank"
        if event.get("index", "main") not in self.indexes or "poison" in event["event"]["indicator"]:
            return 7, "Incorrect index"
        return None


def _channel(asked: Asked) -> str:
    return asked.headers.get("x-splunk-request-channel") or asked.query.get("channel", "")


class KvStore(Server):
    """Collections of one application."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}
        self.most = 1000  # max_documents_per_batch_save

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return Said(401, {"messages": [{"type": "WARN", "text": "call not properly authenticated"}]})
        parts = [unquote(part) for part in asked.path.strip("/").split("/")]
        if parts[5] == "config":
            return Said(200, {"entry": [{"name": parts[6]}]})
        if parts[-1] == "batch_save":
            return self._save(asked.json())
        if asked.method == "DELETE":
            if self.records.pop(parts[-1], None) is None:
                return Said(404, {"messages": [{"type": "ERROR", "text": "Could not find object."}]})
            return Said(200)
        wanted = json.loads(asked.query["query"])
        found = [each for each in self.records.values() if wanted.items() <= each.items()]
        found.sort(key=lambda each: each["_key"])
        skip = int(asked.query["skip"])
        return Said(200, found[skip : skip + int(asked.query["limit"])])

    def _save(self, records: list[dict[str, Any]]) -> Said:
        if len(records) > self.most:
            return Said(400, {"messages": [{"type": "ERROR", "text": "the limit of documents per batch save"}]})
        for record in records:
            self.records[record["_key"]] = {**record, "_user": "nobody"}
        return Said(200, [record["_key"] for record in records])
