"""A Sentinel workspace's indicators, the last received first: by our receipts, and as the workspace shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tipline.durations import Duration
from tipline.engine.core import Engine
from tipline.engine.far_listing import listing_file
from tipline.engine.people import RequestError
from tipline.engine.times import iso, literal
from tipline.store import receipt_search
from tipline.store.receipt_search import ENDS, LATER, UNKNOWN, Wanted
from tipline.store.schema import published_table

_Word = Annotated[str, Field(max_length=200)]
_CHUNK = 2000  # receipts looked at in one go for those of one source
_END = "try_cast(content ->> 'valid_until' AS TIMESTAMP)"
_CONFIDENCE = "try_cast(content ->> 'confidence' AS INTEGER)"
_BAND = f"coalesce({_CONFIDENCE} - {_CONFIDENCE} % 25, -1)"
_OPENING: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
Row = dict[str, Any]
Place = tuple[str, str]


class ObjectFilter(BaseModel):
    """Which of a workspace's indicators; what is not given does not matter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    whose: Literal["ours", "foreign"] = Field(default="ours", description="ours: sent by this output.")
    text: _Word = Field(default="", description="A part of the value.")
    type: _Word = Field(default="", description="Of the indicator.")
    source: _Word = Field(default="", description="Ours: a source that is published with it. Others': as shown there.")
    confidence: int | None = Field(
        default=None, ge=-1, le=100, description="In the same band of 25 (0, 25, 50, 75, 100); -1 for none."
    )
    expires: Duration | None = Field(default=None, description="Ends within this time from now.")

    @property
    def band(self) -> int | None:
        """The least of the band of confidence that is wanted."""
        return self.confidence if self.confidence is None or self.confidence < 0 else self.confidence // 25 * 25


def sentinel_items(
    engine: Engine, output: str, wanted: ObjectFilter, limit: int, after: Place | None, seen: set[str]
) -> Row:
    """A page of a workspace's indicators, with what the workspace showed when it was last read.

    Args:
        engine: the engine.
        output: a Sentinel output.
        wanted: the filters.
        limit: how many at most.
        after: the place of the last one of the page before.
        seen: the sources whose names may be told.
    """
    now = engine.clock()
    hour = now.replace(minute=0, second=0, microsecond=0)
    before = now + wanted.expires if wanted.expires is not None else None
    file = listing_file(engine, output)
    if wanted.whose == "foreign":
        rows = _foreign(file, wanted, before, limit + 1, after[1] if after else "")
        places: list[Place] = [("", row["far_id"]) for row in rows]
    else:
        hidden = bool(wanted.source) and wanted.source not in seen
        found = [] if hidden else _ours(engine, output, wanted, before, limit + 1, after)
        rows = _told(engine, output, found, file, seen)
        places = [_place(receipt) for receipt in found]
    return {
        "items": rows[:limit],
        "next": places[limit - 1] if len(rows) > limit else None,
        "reported": _reported(file, file.stat().st_mtime_ns, hour + timedelta(hours=1)) if file else None,
    }


def _place(receipt: Row) -> Place:
    return receipt["accepted_at"].isoformat(), receipt["key"]


def _moment(place: Place) -> datetime:
    try:
        return datetime.fromisoformat(place[0]).replace(tzinfo=None)
    except ValueError:
        raise RequestError(
            "there is no such place to go on after", fix="take it from `next` of the page before"
        ) from None


def _ours(
    engine: Engine, output: str, wanted: ObjectFilter, before: datetime | None, limit: int, after: Place | None
) -> list[Row]:
    """Receipts that fit, up to a limit; the source is known by what is published alone."""
    asked = Wanted(types=(wanted.type,) if wanted.type else (), text=wanted.text, band=wanted.band, before=before)
    place = (_moment(after), after[1]) if after else None
    size = _CHUNK if wanted.source else limit
    found: list[Row] = []
    while True:
        part = receipt_search.received(engine.control, output, size, after=place, wanted=asked)
        published = _published(engine, output, [row["key"] for row in part]) if wanted.source else {}
        found += [row for row in part if not wanted.source or wanted.source in published.get(row["key"], ())]
        if len(part) < size or len(found) >= limit:
            return found[:limit]
        place = (part[-1]["accepted_at"], part[-1]["key"])


def _told(engine: Engine, output: str, receipts: Sequence[Row], file: Path | None, seen: set[str]) -> list[Row]:
    published = _published(engine, output, [row["key"] for row in receipts])
    shown = _shown(file, [row["far_id"] for row in receipts if row["far_id"]])
    return [
        {
            "key": row["key"], "far_id": row["far_id"], "type": row["type"], "value": row["value"], "whose": "ours",
            "state": row["state"], "reason": row["reason"], "received": iso(row["accepted_at"]),
            "confidence": row["detail"].get("confidence"), "expires": iso(row["expires"]),
            "sources": [name for name in published.get(row["key"], ()) if name in seen],
            "there": shown.get(row["far_id"] or ""),
        }
        for row in receipts
    ]  # fmt: skip


def _published(engine: Engine, output: str, keys: Sequence[str]) -> dict[str, list[str]]:
    """The sources that some keys (32 hex digits) are published with."""
    if not keys:
        return {}
    table = published_table(engine.graph.ids[output])
    with engine.lake.reading() as con:
        con.register("asked", pl.DataFrame({"key": list(keys)}, schema={"key": pl.String}).to_arrow())
        try:
            rows = con.execute(
                f"SELECT replace(key::VARCHAR, '-', ''), sources FROM {table}"
                " SEMI JOIN (SELECT key::UUID AS key FROM asked) USING (key)"
            ).fetchall()
        finally:
            con.unregister("asked")
    return {key: sources or [] for key, sources in rows}


def _query(file: Path, select: str, where: str = "true", given: Sequence[Any] = ()) -> list[Row]:
    target = str(file).replace("'", "''")
    with duckdb.connect(config=_OPENING) as con:
        answer = con.execute(f"SELECT {select} FROM read_parquet('{target}') WHERE {where}", list(given))
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


_AS_SHOWN = (
    f'far_id, type, value, "by" AS source, {_CONFIDENCE} AS confidence, {_END} AS valid_until, ended,'
    " coalesce(try_cast(content ->> 'revoked' AS BOOLEAN), false) AS revoked, content ->> 'name' AS name"
)


def _shown(file: Path | None, far_ids: Sequence[str]) -> dict[str, Row]:
    """How the workspace showed some of its objects."""
    if file is None or not far_ids:
        return {}
    rows = _query(file, _AS_SHOWN, "far_id IN (SELECT unnest(?::VARCHAR[]))", [list(far_ids)])
    names = ("source", "confidence", "revoked", "ended", "name")
    return {
        row["far_id"]: {**{name: row[name] for name in names}, "valid_until": iso(row["valid_until"])} for row in rows
    }


def _foreign(file: Path | None, wanted: ObjectFilter, before: datetime | None, limit: int, after: str) -> list[Row]:
    """What others made, in the order of their ids."""
    if file is None:
        return []
    where, given = ["key IS NULL", "far_id > ?"], [after]
    for column, word in (("type", wanted.type), ('"by"', wanted.source)):
        if word:
            where.append(f"{column} = ?")
            given.append(word)
    if wanted.text:
        where.append("contains(lower(value), lower(?))")
        given.append(wanted.text)
    if wanted.band is not None:
        where.append(f"{_BAND} = {wanted.band}")
    if before is not None:
        where.append(f"{_END} <= {literal(before)}")
    rows = _query(file, _AS_SHOWN, f"{' AND '.join(where)} ORDER BY far_id LIMIT {limit}", given)
    return [
        {
            "key": None, "far_id": row["far_id"], "type": row["type"], "value": row["value"] or row["name"] or "",
            "whose": "foreign", "state": "", "reason": "", "received": None, "confidence": row["confidence"],
            "expires": iso(row["valid_until"]), "sources": [row["source"]],
            "there": {name: row[name] for name in ("source", "confidence", "revoked", "ended", "name")}
            | {"valid_until": iso(row["valid_until"])},
        }
        for row in rows
    ]  # fmt: skip


@lru_cache(maxsize=16)
def _reported(file: Path, written: int, now: datetime) -> Row:
    """Numbers of what a workspace showed: read from the file once an hour, and when it is written anew."""
    del written
    end = " ".join(f"WHEN {_END} <= {literal(now + timedelta(days=days))} THEN '{label}'" for label, days in ENDS)
    columns = {
        "types": "coalesce(nullif(type, ''), 'other')", "sources": "coalesce(\"by\", '')", "confidence": _BAND,
        "ends": f"CASE WHEN {_END} IS NULL THEN '{UNKNOWN}' {end} ELSE '{LATER}' END",
    }  # fmt: skip
    select = ", ".join(f'{sql} AS "{name}"' for name, sql in columns.items())
    rows = _query(file, f"{select}, key IS NOT NULL AS ours, ended, count(*) AS n", "true GROUP BY ALL")
    in_force = [row for row in rows if not row["ended"]]
    return {
        "objects": sum(row["n"] for row in in_force),
        "foreign": sum(row["n"] for row in in_force if not row["ours"]),
        "ended": sum(row["n"] for row in rows if row["ended"]),
        **{name: _summed(in_force, name) for name in columns},
    }


def _summed(rows: Sequence[Row], name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[str(row[name])] = found.get(str(row[name]), 0) + row["n"]
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0]))[:50])
