"""What a MISP feed's source remembers between polls, and how it reads manifest.json and hashes.csv."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tipline.errors import FormatError
from tipline.sources.fetch_settings import PartState
from tipline.sources.misp_rules import Head

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass
class FeedState:
    """The cursor of a MISP feed.

    Attributes:
        events: timestamp of each event as it was last read.
        failed: events that could not be read last time, to be tried again.
        hashes: digest of each event's lines in hashes.csv.
        parts: validators of manifest.json and hashes.csv.
    """

    events: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    parts: dict[str, PartState] = field(default_factory=dict)

    @classmethod
    def of(cls, cursor: Mapping[str, Any]) -> FeedState:
        """What `write` wrote; empty if there is nothing."""
        return cls(
            dict(cursor.get("events", {})),
            list(cursor.get("failed", [])),
            dict(cursor.get("hashes", {})),
            {name: PartState(**part) for name, part in cursor.get("parts", {}).items()},
        )

    def write(self, cursor: dict[str, Any]) -> None:
        """Put everything into a cursor, in place: the engine keeps it when the last frame has been read."""
        cursor.update(
            events=self.events,
            failed=self.failed,
            hashes=self.hashes,
            parts={name: vars(part) for name, part in self.parts.items()},
        )


def heads_of(document: Any, where: str) -> tuple[list[Head], list[str]]:
    """The events of a manifest, and keys that name none.

    Raises:
        FormatError: it is no manifest, or lists nothing: that is rather an accident than the end of a feed.
    """
    if document in ({}, []):
        raise FormatError(
            "the manifest lists no event",
            where=where,
            fix="what the feed said stays; if that is meant, remove the source",
        )
    if not isinstance(document, Mapping) or not all(isinstance(meta, Mapping) for meta in document.values()):
        raise FormatError(
            "the manifest is not an object with an entry for each event",
            where=where,
            fix="the address must be that of the folder that holds manifest.json",
        )
    good = {key: meta for key, meta in document.items() if UUID.fullmatch(key)}
    return [Head.of(meta, key) for key, meta in good.items()], [key for key in document if key not in good]


def digests(path: Path) -> dict[str, str]:
    """Digest of each event's values from hashes.csv (`md5,event uuid` a line), in whatever order.

    Lines of any other form are skipped: the file is a help, not the feed.
    """
    sums: dict[str, int] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            digest, _, uuid = line.strip().partition(",")
            uuid = uuid.strip().strip('"').lower()
            if UUID.fullmatch(uuid):
                try:
                    sums[uuid] = (sums.get(uuid, 0) + int(digest.strip().strip('"'), 16)) % (1 << 64)
                except ValueError:
                    continue
    return {uuid: f"{total:016x}" for uuid, total in sums.items()}
