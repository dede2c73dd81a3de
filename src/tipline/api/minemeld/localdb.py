"""MineMeld's local indicators: its bodies in JSON and text, as entries of `local` sources."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tipline.engine.operations import Operations
from tipline.engine.people import RequestError
from tipline.engine.visible import claims_seen
from tipline.model.types import TYPES
from tipline.sources.local import Local

_SUFFIX = "_indicators"
# `yellow` is what its pages and `minemeld-sync.py` offered in place of amber.
_TLP = {"white": "clear", "green": "green", "yellow": "amber", "amber": "amber", "red": "red"}
_SHARE = {0: "white", 1: "green", 2: "amber", 3: "amber", 4: "red"}
_TYPES = {kind.minemeld: name for name, kind in TYPES.items() if kind.minemeld}
_WORDS = {name: kind.minemeld for name, kind in TYPES.items() if kind.minemeld}
_MOST_RECORDS = 100_000
_EPOCH = datetime.fromisoformat("1970-01-01")
Record = dict[str, Any]


def source_of(operations: Operations, file: str) -> str:
    """The local source that a file of MineMeld's has become: `<node>_indicators` is that of `<node>`.

    Raises:
        RequestError: there is none.
    """
    sources = operations.engine.graph.sources
    for name in (file.removesuffix(_SUFFIX), file):
        node = sources.get(name)
        if isinstance(node, Local) and operations.asker.sees(node.settings):
            return name
    raise RequestError(f"there is no local source for {file[:80]!r}")


def read_records(body: bytes, *, typed: bool = True) -> list[Record]:
    """The records of a body: a JSON object, an array of them, or blocks of lines.

    Blocks are a line with the type, one with the indicator, then pairs of lines with attributes and their
    values; an empty line ends one, and lines with # are comments.

    Args:
        body: what was sent.
        typed: whether each record says its type; else it may, and a text stands for a record with nothing else.

    Raises:
        RequestError: it is neither.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError("the body is not UTF-8") from None
    if text.lstrip()[:1] in {"{", "["}:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise RequestError("the body is not JSON") from None
        records = found if isinstance(found, list) else [found]
    else:
        records = _blocks(text)
    if len(records) > _MOST_RECORDS:
        raise RequestError(f"there are more than {_MOST_RECORDS:,} records")
    return [_record(record, typed=typed) for record in records]


def _record(record: Any, *, typed: bool) -> Record:
    if not typed and isinstance(record, str):
        return {"indicator": record}
    if not isinstance(record, dict) or not isinstance(record.get("indicator"), str):
        raise RequestError("each record needs indicator and type, as texts")
    if not isinstance(record.get("type", None if typed else ""), str):
        raise RequestError("each record needs indicator and type, as texts; with t=yaml the type may be left out")
    return record


def _blocks(text: str) -> list[Record]:
    found: list[Record] = []
    block: list[str] = []
    for line in [*(each.strip() for each in text.splitlines()), ""]:
        if line.startswith("#"):
            continue
        if line:
            block.append(line)
            continue
        if block:
            if len(block) % 2:
                raise RequestError(f"a block has an odd number of lines: {block[0][:80]!r}")
            kind, indicator, *pairs = block
            found.append({**dict(zip(pairs[::2], pairs[1::2], strict=True)), "type": kind, "indicator": indicator})
            block = []
    return found


def append(operations: Operations, source: str, records: list[Record]) -> None:
    """Add records, or take back those with a ttl of zero or less.

    Raises:
        RequestError: a record cannot be taken; the message says which and why, and how many were.
    """
    added, removed = [], []
    for record in records:
        ttl = _ttl(record.get("ttl"))
        if ttl is not None and ttl <= 0:
            removed.append(record["indicator"])
        else:
            added.append(_entry(record, ttl))
    if added:
        account = operations.call("add", {"entries": added, "source": source})
        if account["refused"]:
            first = account["refused"][0]
            raise RequestError(f"{first['value']!r} was refused: {first['reason']}; {account['accepted']} were taken")
    if removed:
        operations.call("remove", {"values": removed, "source": source, "everyone": True})


def replace(operations: Operations, source: str, records: list[Record]) -> None:
    """Put records in the place of all that a source holds; those with a ttl of zero or less are left out.

    Raises:
        RequestError: a record cannot be taken; then all is as it was.
    """
    timed = [(record, _ttl(record.get("ttl"))) for record in records]
    entries = [_entry(record, ttl) for record, ttl in timed if ttl is None or ttl > 0]
    operations.call("add", {"entries": entries, "source": source, "whole": True})


def _ttl(value: Any) -> int | None:
    if value is None or value == "disabled":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise RequestError("ttl must be a number of seconds, or disabled") from None


def _entry(record: Record, ttl: int | None) -> Record:
    share = record.get("share_level")
    if share is not None and share not in _TLP:
        raise RequestError(f"share_level must be one of {', '.join(_TLP)}")
    kind = record.get("type")
    entry = {"value": record["indicator"], "type": _TYPES.get(kind, kind) if kind else None}
    if ttl is not None:
        entry["ttl"] = f"{ttl}s"
    elif record.get("ttl") is not None:
        entry["ttl"] = "never"
    if share is not None:
        entry["tlp"] = _TLP[share]
    if record.get("comment"):
        entry["comment"] = str(record["comment"])
    if record.get("confidence") is not None:
        entry["confidence"] = record["confidence"]
    return entry


def rows(operations: Operations, source: str) -> list[Record]:
    """The local indicators of a source that the asker sees, as MineMeld listed them."""
    claims = claims_seen(operations.engine.graph, source, operations.asker)
    with operations.engine.lake.reading() as con:
        found = con.execute(
            "SELECT value, type, tlp, description, confidence, valid_until, refreshed"
            f" FROM {claims} ORDER BY type, value"
        ).fetchall()
    return [
        {
            "indicator": value,
            "type": _WORDS.get(kind, kind),
            "share_level": _SHARE.get(level),
            "comment": comment,
            **({} if confidence is None else {"confidence": confidence}),
            "_expiration_ts": _milliseconds(until) if until else "disabled",
            "_update_ts": _milliseconds(updated),
        }
        for value, kind, level, comment, confidence, until, updated in found
    ]


def _milliseconds(moment: datetime | None) -> int:
    return int((moment or _EPOCH).replace(tzinfo=UTC).timestamp() * 1000)
