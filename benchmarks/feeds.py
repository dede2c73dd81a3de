"""The feed from first byte to published list: first poll, next poll, unchanged; parse and commit alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import generate
from benchmarks.measure import Spent, spent
from benchmarks.setting import FEED, NEXT, engine, quiet, serve, web_server
from tipline.engine.core import Engine
from tipline.engine.listfiles import write_files
from tipline.formats.base import Context
from tipline.formats.csv import read
from tipline.formats.csv_settings import CsvSettings
from tipline.model.normalise import conform
from tipline.store.lake import Lake
from tipline.store.schema import CLAIM, claims_table, columns_sql, published_table

_LIST = "everything"


def prepare(n: int, directory: Path) -> dict[str, Any]:
    """Write both versions of the feed."""
    generate.csv(directory / FEED, n)
    generate.churned(directory / NEXT, directory / FEED, 0.01)
    return {"measured": False}


def first_poll(n: int, directory: Path) -> dict[str, Any]:
    """Everything is new: fetch, parse, normalise, diff, commit, aggregate, publish, write the list."""
    serve(directory, FEED)
    return _round(n, directory)


def next_poll(n: int, directory: Path) -> dict[str, Any]:
    """1 % of the lines differ: half are new, half have another confidence, and as many are gone."""
    serve(directory, NEXT)
    return _round(n, directory)


def unchanged(_n: int, directory: Path) -> dict[str, Any]:
    """The server says 304; then it sends the same bytes again."""
    with web_server(directory), engine(directory) as made:
        serve(directory, NEXT)
        made.poll("feed")  # once to load what the first fetch loads, and to hold this version
        with spent() as not_modified:
            states = [made.poll("feed").state]
        serve(directory, NEXT)
        with spent() as same:
            states.append(made.poll("feed").state)
        made.evaluate()
        with spent() as tick:
            made.evaluate()
    return {
        "states": states,
        "not_modified": not_modified.figures(),
        "same_bytes": same.figures(),
        "tick": tick.figures(),
    }


def parse_alone(n: int, directory: Path) -> dict[str, Any]:
    """The limits in front of the database: parsing, and normalising."""
    quiet()
    settings = CsvSettings.model_validate(
        {
            "columns": {
                "value": "indicator",
                "confidence": "confidence",
                "first_seen": "first_seen",
                "tags": "tag",
            }
        }
    )
    parse, normalise = Spent(), Spent()
    frames = read(directory / FEED, settings, Context(feed="feed"))
    while True:
        with spent() as one:
            frame = next(frames, None)
        _add(parse, one)
        if frame is None:
            break
        with spent() as one:
            conform(frame)
        _add(normalise, one)
    return {"parse": parse.figures(n), "normalise": normalise.figures(n)}


def commit_alone(n: int, directory: Path) -> dict[str, Any]:
    """The limit behind it: n finished claims copied into an empty table of a new file, and committed."""
    quiet()
    with engine(directory) as made:
        number, file = made.graph.ids["feed"], made.lake.path
    place = directory / "commit"
    place.mkdir(exist_ok=True)
    lake = Lake(place, memory_limit="2GB", threads=1)
    con = lake.connection()
    try:
        con.execute(f"ATTACH '{file}' AS held (READ_ONLY)")
        con.execute(f"CREATE TEMP TABLE ready AS FROM held.{claims_table(number)}")
        con.execute(f"CREATE TABLE alone ({columns_sql(CLAIM)})")
        with spent() as done:
            con.execute("BEGIN")
            con.execute("INSERT INTO alone FROM ready")
            con.execute("COMMIT")
    finally:
        con.close()
        lake.close()
    return done.figures(n)


def _round(n: int, directory: Path) -> dict[str, Any]:
    with web_server(directory), engine(directory) as made:
        with spent() as poll:
            result = made.poll("feed")
        with spent() as evaluate:
            made.evaluate()
        with spent() as write:
            write_files(made, _LIST)
        figures = _add(_add(_add(Spent(), poll), evaluate), write).figures(n)
        steps = {"poll": poll.cpu, "evaluate": evaluate.cpu, "write_list": write.cpu}
        return {
            **figures,
            "cpu_seconds_of": {name: round(cpu, 3) for name, cpu in steps.items()},
            "poll": {
                "state": result.state, "accepted": result.ledger.accepted, "added": result.added,
                "changed": result.changed, "removed": result.removed, "message": result.message,
            },
            "published": _published(made),
            "file_mib": file_mib(made),
        }  # fmt: skip


def _published(made: Engine) -> int:
    with made.lake.reading() as con:
        row = con.execute(f"SELECT count(*) FROM {published_table(made.graph.ids[_LIST])}").fetchone()
    return int(row[0]) if row else 0


def file_mib(made: Engine) -> int:
    """Size of the database file, in MiB."""
    return made.lake.path.stat().st_size >> 20 if made.lake.path else 0


def _add(total: Spent, one: Spent) -> Spent:
    total.cpu, total.wall = total.cpu + one.cpu, total.wall + one.wall
    return total
