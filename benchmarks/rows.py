"""The rows by name, in the order in which they run, and the rows that each builds on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    delivering,
    dialects,
    feeds,
    lookups,
    pages,
    parsing,
    ranges,
    readers,
    servers,
    small,
    taxii,
    warned,
)
from benchmarks.setting import FEED


def _freetext(n: int, directory: Path) -> dict[str, Any]:
    """Its peers are test dependencies, which the other rows do without."""
    from benchmarks.freetext import freetext

    return freetext(n, directory)


ROWS: dict[str, Callable[[int, Path], dict[str, Any]]] = {
    "prepare": feeds.prepare,
    "first_poll": feeds.first_poll,
    "next_poll": feeds.next_poll,
    "unchanged": feeds.unchanged,
    "lookups": lookups.lookups,
    "serving": servers.serving,
    "readers": readers.readers,
    "dialects": dialects.dialects,
    "commit_alone": feeds.commit_alone,
    "parse_alone": feeds.parse_alone,
    "parse_csv": parsing.parse_csv,
    "parse_stix2": parsing.parse_stix2,
    "parse_stix1": parsing.parse_stix1,
    "parse_misp": parsing.parse_misp,
    "parse_freetext": parsing.parse_freetext,
    "large_csv": parsing.large_csv,
    "large_stix2": parsing.large_stix2,
    "poll_stix2": parsing.poll_stix2,
    "poll_csv": parsing.poll_csv,
    "freetext": _freetext,
    "taxii": taxii.taxii,
    "ranges": ranges.ranges,
    "warning_lists": warned.warning_lists,
    "pages_data": pages.pages_data,
    "pages": pages.pages,
    "small_polls": small.small_polls,
    "idle": servers.idle,
    "defender": servers.defender,
    "sentinel": servers.sentinel,
    **delivering.ROWS,
}
_ON_FEED = {"next_poll", "unchanged", "lookups", "serving", "readers", "commit_alone", "warning_lists"}


def needs(wanted: list[str], directory: Path) -> list[str]:
    """The wanted rows with those that must run before them, in order."""
    needed = set(wanted)
    if needed & _ON_FEED and not (directory / "data").exists():
        needed.add("first_poll")
    if needed & {*_ON_FEED, "first_poll", "parse_alone", "taxii"} and not (directory / FEED).exists():
        needed.add("prepare")
    if "pages" in needed and not (directory / pages.FOLDER).exists():
        needed.add("pages_data")
    return [name for name in ROWS if name in needed]
