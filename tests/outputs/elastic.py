"""A stand-in for Elasticsearch, as far as its documentation of these calls goes: index creation, `_bulk`,
`_search` with `term`, `sort` and `search_after`, `ip` fields that take no networks, refresh before search."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

from outputs.delivering import Asked, Said, Server

KEY = "ZW5jb2RlZC1hcGkta2V5"
MOST_BYTES = 1 << 20  # http.max_content_length


class Elastic(Server):
    """Indices by name; `sick` says which items a bulk refuses, with status and reason."""

    def __init__(self) -> None:
        super().__init__()
        self.indices: dict[str, dict[str, dict[str, Any]]] = {}
        self.mappings: dict[str, Any] = {}
        self.writes = 0
        self.sick: dict[str, tuple[int, str]] = {}

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("authorization") != f"ApiKey {KEY}":
            error = {"type": "security_exception", "reason": "missing authentication credentials"}
            return Said(401, {"error": error, "status": 401})
        if len(asked.body) > MOST_BYTES:
            return Said(413)
        if asked.path == "/":
            return Said(200, {"name": "node", "version": {"number": "8.17.0"}, "tagline": "You Know, for Search"})
        if asked.path == "/_bulk":
            return self._bulk(asked)
        index, _, what = asked.path.strip("/").partition("/")
        return self._search(index, asked.json()) if what == "_search" else self._create(index, asked.json())

    def docs(self, index: str = "threat-intel") -> dict[str, dict[str, Any]]:
        return {doc["labels"]["value"]: doc for doc in self.indices.get(index, {}).values()}

    def _create(self, index: str, body: dict[str, Any]) -> Said:
        if index in self.indices:
            error = {"type": "resource_already_exists_exception", "reason": f"index [{index}] already exists"}
            return Said(400, {"error": error, "status": 400})
        self.indices[index], self.mappings[index] = {}, body["mappings"]
        return Said(200, {"acknowledged": True, "shards_acknowledged": True, "index": index})

    def _bulk(self, asked: Asked) -> Said:
        if asked.headers["content-type"] != "application/x-ndjson":
            return Said(406, {"error": "Content-Type header is not supported"})
        if not asked.body.endswith(b"\n"):
            reason = "The bulk request must be terminated by a newline [\\n]"
            return Said(400, {"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400})
        items = [self._one(*each) for each in _actions(asked.body)]
        errors = any("error" in result for item in items for result in item.values())
        return Said(200, {"took": 3, "errors": errors, "items": items})

    def _one(self, action: str, meta: dict[str, Any], source: dict[str, Any] | None) -> dict[str, Any]:
        name, docs = meta["_id"], self.indices.setdefault(meta["_index"], {})
        result: dict[str, Any] = {"_index": meta["_index"], "_id": name}
        refused = self._refusal(source)
        if refused:
            status, kind, reason = refused
            return {action: {**result, "status": status, "error": {"type": kind, "reason": reason}}}
        self.writes += 1
        if action == "delete":
            gone = docs.pop(name, None) is None
            return {action: {**result, "result": "not_found" if gone else "deleted", "status": 404 if gone else 200}}
        there = name in docs
        docs[name] = source or {}
        return {action: {**result, "result": "updated" if there else "created", "status": 200 if there else 201}}

    def _refusal(self, source: dict[str, Any] | None) -> tuple[int, str, str] | None:
        if source is None:
            return None
        value = source["labels"]["value"]
        if value in self.sick:
            status, reason = self.sick[value]
            return status, "es_rejected_execution_exception" if status == 429 else "mapper_parsing_exception", reason
        address = source["threat"]["indicator"].get("ip")
        try:
            ipaddress.ip_address(address or "::")
        except ValueError:
            return 400, "document_parsing_exception", f"'{address}' is not an IP string literal."
        return None

    def _search(self, index: str, body: dict[str, Any]) -> Said:
        if index not in self.indices:
            return Said(404, {"error": {"type": "index_not_found_exception", "reason": "no such index"}, "status": 404})
        ((path, wanted),) = body["query"]["term"].items()
        ((sort, _),) = body["sort"][0].items()
        hits = [
            {"_id": name, "_source": doc, "sort": [_dig(doc, sort)]}
            for name, doc in self.indices[index].items()
            if _dig(doc, path) == wanted
        ]
        hits.sort(key=lambda hit: hit["sort"])
        after = body.get("search_after")
        rest = [hit for hit in hits if after is None or hit["sort"] > after]
        return Said(200, {"hits": {"total": {"value": len(hits)}, "hits": rest[: body["size"]]}})


def _actions(body: bytes) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    lines = iter(body.decode().splitlines())
    for line in lines:
        ((action, meta),) = json.loads(line).items()
        yield action, meta, None if action == "delete" else json.loads(next(lines))


def _dig(doc: Any, path: str) -> Any:
    for part in path.split("."):
        doc = doc.get(part) if isinstance(doc, dict) else None
    return doc
