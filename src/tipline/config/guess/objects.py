"""JSON: MISP, STIX and TAXII by their marks, else the list of rows in it and what their fields hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tipline.config.guess.columns import columns_of, roles, values

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STIX_ID = re.compile(r"[a-z0-9-]+--[0-9a-f-]{36}")
_ROWS = 500
_DEPTH = 4


def json_candidates(document: Any, place: str) -> Iterator[dict[str, Any]]:
    """Settings to try for a JSON document."""
    if _is_manifest(document):
        yield {"kind": "misp-feed", "url": re.sub(r"/?manifest\.json$", "", place) or ".", "whole": True}
        return
    if _is_misp(document):
        yield {"kind": "misp-file"}
    if _is_stix(document):
        yield {"kind": "stix2"}
    if isinstance(document, Mapping) and ("api_roots" in document or "collections" in document):
        yield {"kind": "taxii2", "url": place, "whole": True}
        return
    found = sorted(_lists(document), key=lambda each: -len(each[1]))
    for path, rows in found[:3]:
        settings = _settings(path, rows)
        if settings is not None:
            yield settings
    yield {"kind": "freetext"}


def _is_manifest(document: Any) -> bool:
    return (
        isinstance(document, Mapping)
        and bool(document)
        and all(_UUID.fullmatch(str(key)) and isinstance(value, Mapping) for key, value in document.items())
        and any("info" in value or "Orgc" in value or "orgc" in value for value in document.values())
    )


def _is_misp(document: Any) -> bool:
    first = document[0] if isinstance(document, list) and document else document
    if not isinstance(first, Mapping):
        return False
    inner = first.get("response", first)
    inner = inner[0] if isinstance(inner, list) and inner else inner
    return isinstance(inner, Mapping) and (
        "Event" in inner or "Attribute" in inner or ("info" in inner and ("uuid" in inner or "Orgc" in inner))
    )


def _is_stix(document: Any) -> bool:
    objects = document.get("objects", [document]) if isinstance(document, Mapping) else document
    first = objects[0] if isinstance(objects, list) and objects else None
    if isinstance(document, Mapping) and document.get("type") == "bundle":
        return True
    return isinstance(first, Mapping) and "type" in first and bool(_STIX_ID.fullmatch(str(first.get("id", ""))))


def _lists(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, list[Any]]]:
    """The lists of a document with the path to each."""
    if isinstance(value, list) and value:
        if all(isinstance(each, Mapping | str) for each in value[:20]):
            yield path, value
    elif isinstance(value, Mapping) and depth < _DEPTH:
        for key, inner in value.items():
            name = _quoted(str(key))
            yield from _lists(inner, f"{path}.{name}" if path else name, depth + 1)


def _settings(path: str, rows: list[Any]) -> dict[str, Any] | None:
    where = {"rows": path} if path else {}
    if isinstance(rows[0], str):
        return {"kind": "json", **where, "fields": {"value": "@"}}
    maps = [row for row in rows[:_ROWS] if isinstance(row, Mapping)]
    names = list(dict.fromkeys(key for row in maps for key in row if '"' not in key))
    cells = [[_text(row.get(name)) for name in names] for row in maps]
    columns = columns_of(cells, names)
    taken = roles(columns)
    found = values(columns, taken)
    if not found:
        return None
    mapped = {attribute: _quoted(column.name) for attribute, column in taken.items()}
    value = " || ".join(_quoted(column.name) for column in found)
    return {"kind": "json", **where, "fields": {"value": value, **mapped}}


def _quoted(key: str) -> str:
    """A key as JMESPath writes it."""
    return key if re.fullmatch(r"[A-Za-z_]\w*", key) else json.dumps(key)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
