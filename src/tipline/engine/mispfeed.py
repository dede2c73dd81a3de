"""Writes the directories of `misp-feed` outputs: events that changed, then hashes.csv, then manifest.json.

A reader looks at the manifest first, so it is replaced last: whatever it names is there. A version that MISP is to
take has a later timestamp than the one before, also within a second.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from tipline.engine.atomic import replacing
from tipline.engine.core import Engine
from tipline.engine.times import literal
from tipline.errors import StoreError
from tipline.model import tlp
from tipline.outputs.misp_feed import MispFeedKind
from tipline.outputs.misp_words import WORDS
from tipline.store.allowance import WRITING
from tipline.store.schema import objects_table

MANIFEST, HASHES = "manifest.json", "hashes.csv"
_STATE = ".tipline.json"  # what was written last: event -> signature and timestamp
_CHUNK = 20_000
_SHAPE = {"title", "organisation", "organisation_uuid", "event_tags", "threat_level", "to_ids", "events"}
_EPOCH = datetime.fromisoformat("1970-01-01")


@dataclass(frozen=True)
class _Event:
    """One event as it is to be."""

    uuid: str
    number: int
    signature: str
    timestamp: int
    date: str


def write(engine: Engine, name: str) -> list[str]:
    """Bring a feed's directory up to date; returns the events that were written.

    Raises:
        StoreError: it cannot be written, or nothing was evaluated yet.
    """
    output = engine.graph.outputs[name]
    if not isinstance(output, MispFeedKind):
        raise StoreError(f"{name} is no misp-feed output", where=name)
    folder = output.folder(engine.data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return engine.lake.memory.tried(WRITING, f"feed {name}", lambda: _written(engine, output, folder))
    except (OSError, duckdb.Error) as exc:
        what = str(exc).splitlines()[0][:300]
        raise StoreError(
            f"{name} could not be written: {what}", where=str(folder), fix="free space, or permit"
        ) from exc


def _written(engine: Engine, output: MispFeedKind, folder: Path) -> list[str]:
    with engine.lake.reading() as con:
        return _Writer(con, engine, output, folder).run()


class _Writer:
    def __init__(self, con: duckdb.DuckDBPyConnection, engine: Engine, output: MispFeedKind, folder: Path) -> None:
        self.con, self.output, self.folder = con, output, folder
        self.instance = engine.configuration.settings.instance
        self.settings = output.settings
        since = engine.clock() - output.settings.keep_removed
        bucket = f"('0x' || left(key::VARCHAR, 4))::INTEGER % {output.settings.events}"
        self.rows = (
            f"(SELECT *, {bucket} AS bucket FROM {objects_table(engine.graph.ids[output.name])}"
            f" WHERE NOT removed OR stamp > {literal(since)})"
        )
        found = con.execute("SELECT as_of, seq FROM output_state WHERE output = ?", [engine.graph.ids[output.name]])
        row = found.fetchone()
        if row is None or (row[0] is None and not row[1]):
            raise StoreError(f"{output.name} has not been evaluated yet", where=output.name)

    def run(self) -> list[str]:
        before = self._before()
        events = self._events(before)
        changed = [event for event in events if self._outdated(event, before)]
        for event in changed:
            self._write_event(event)
        if not changed and set(before) == {event.uuid for event in events} and (self.folder / MANIFEST).exists():
            return []
        self._write_hashes(events)
        self._write_json(
            MANIFEST, {event.uuid: {**self._head(event), "timestamp": event.timestamp} for event in events}
        )
        self._write_json(_STATE, {event.uuid: [event.signature, event.timestamp] for event in events})
        for gone in set(before) - {event.uuid for event in events}:
            with suppress(FileNotFoundError):
                (self.folder / f"{gone}.json").unlink()
        return [event.uuid for event in changed]

    def _before(self) -> dict[str, list[Any]]:
        """What was written last, as far as it can be read."""
        try:
            found = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _events(self, before: dict[str, list[Any]]) -> list[_Event]:
        """The events that have something to say; one at least, so that the manifest is never empty."""
        found = self.con.execute(
            "SELECT bucket, max(seq), count(*), count(*) FILTER (removed), max(stamp), min(since)"
            f" FROM {self.rows} GROUP BY bucket ORDER BY bucket"
        ).fetchall() or [(0, 0, 0, 0, _EPOCH, _EPOCH)]
        shape = self.settings.model_dump(mode="json", include=_SHAPE)
        fixed = json.dumps([self.instance, shape], sort_keys=True)
        made = []
        for bucket, *state, stamp, since in found:
            name = self.output.event_uuid(self.instance, bucket)
            signature = hashlib.sha256(f"{fixed} {state}".encode()).hexdigest()[:32]
            moment = int((stamp - _EPOCH).total_seconds())
            old, last = before.get(name, ["", 0])
            later = last if old == signature else max(moment, last + 1)
            made.append(_Event(name, bucket, signature, later, since.date().isoformat()))
        return made

    def _outdated(self, event: _Event, before: dict[str, list[Any]]) -> bool:
        return before.get(event.uuid, [""])[0] != event.signature or not (self.folder / f"{event.uuid}.json").exists()

    def _head(self, event: _Event) -> dict[str, Any]:
        title = self.settings.title or self.output.name
        many = self.settings.events > 1
        return {
            "Orgc": self.output.publisher(self.instance),
            "Tag": [{"name": tag} for tag in self.settings.event_tags],
            "info": f"{title} ({event.number + 1} of {self.settings.events})" if many else title,
            "date": event.date,
            "analysis": "2",
            "threat_level_id": str(self.settings.threat_level),
        }

    def _write_event(self, event: _Event) -> None:
        """The event, an attribute after the other."""
        stamp = str(event.timestamp)
        head = {"uuid": event.uuid, **self._head(event), "timestamp": stamp, "publish_timestamp": stamp,
                "published": True}  # fmt: skip
        with replacing(self.folder / f"{event.uuid}.json") as new:
            new.file.write(b'{"Event":' + json.dumps(head).encode()[:-1] + b',"Attribute":[')
            rows = self.con.execute(
                f"SELECT {self._attribute()} FROM {self.rows} WHERE bucket = {event.number} ORDER BY seq"
            )
            between = b""
            while part := rows.fetchmany(_CHUNK):
                new.file.write(between + ",\n".join(text for (text,) in part).encode())
                between = b",\n"
            new.file.write(b"]}}\n")

    def _attribute(self) -> str:
        """SQL: an attribute as JSON."""
        words = " ".join(f"WHEN '{name}' THEN '{word}'" for name, (word, _) in WORDS.items())
        categories = " ".join(f"WHEN '{name}' THEN '{category}'" for name, (_, category) in WORDS.items())
        levels = " ".join(f"WHEN {level} THEN 'tlp:{name}'" for level, name in enumerate(tlp.NAMES))
        tags = f"list_concat([CASE tlp {levels} END], coalesce(tags, []))"
        comment = "concat_ws(' ', description, '[confidence ' || confidence || ']')"
        return (
            f"to_json({{'uuid': id::VARCHAR, 'type': CASE type {words} END, 'category': CASE type {categories} END,"
            f" 'value': value, 'to_ids': {str(self.settings.to_ids).lower()}, 'comment': {comment},"
            " 'timestamp': epoch(stamp)::BIGINT::VARCHAR, 'distribution': '5', 'deleted': removed,"
            f" 'Tag': list_transform(list_filter({tags}, lambda t: t IS NOT NULL), lambda t: {{'name': t}})}})::VARCHAR"
        )

    def _write_hashes(self, events: list[_Event]) -> None:
        """A line for each live value: its MD5, and the event that has it."""
        names = {event.number: event.uuid for event in events}
        with replacing(self.folder / HASHES) as new:
            rows = self.con.execute(f"SELECT md5(value), bucket FROM {self.rows} WHERE NOT removed ORDER BY seq")
            while part := rows.fetchmany(_CHUNK):
                new.file.write("".join(f"{digest},{names[bucket]}\n" for digest, bucket in part).encode())

    def _write_json(self, name: str, document: Any) -> None:
        with replacing(self.folder / name) as new:
            new.file.write(json.dumps(document, indent=1).encode() + b"\n")
