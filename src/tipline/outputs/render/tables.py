"""CSV tables with columns that their reader expects: Splunk lookups, and KQL's externaldata."""

from __future__ import annotations

from dataclasses import replace

from tipline.outputs.render import csv
from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.spec import Context, Spec

_FIELDS = (
    ("indicator", "indicator"),
    ("indicator_type", "type"),
    ("confidence", "confidence"),
    ("tlp", "tlp"),
    ("direction", "direction"),
    ("threat_types", "threat_types"),
    ("tags", "tags"),
    ("sources", "sources"),
    ("first_seen_iso", "first_seen"),
    ("last_seen_iso", "last_seen"),
    ("valid_until_iso", "valid_until"),
    ("description", "description"),
)
_SHOWS = (
    "confidence", "description", "direction", "first_seen", "last_seen", "sources", "tags", "threat_types",
    "tlp", "valid_until",
)  # fmt: skip


def _table(dialect: Dialect) -> Dialect:
    # A value must match as it is: no apostrophe is put before what a spreadsheet would calculate.
    return replace(dialect, fields=_FIELDS, formulas="keep")


def frame(dialect: Dialect, context: Context) -> Layout:
    """The header."""
    return csv.frame(_table(dialect), context)


def line(dialect: Dialect, type_: str) -> str:
    """SQL: the record of a row; null if its value would break it."""
    return csv.line(_table(dialect), type_)


SPLUNK = Spec(
    "Splunk, a lookup file",
    line,
    frame=frame,
    media="text/csv; charset=utf-8",
    extension="csv",
    shows=_SHOWS,
    limits="none; with `tr=1` a lookup of match_type CIDR can read it",
)
KQL = replace(
    SPLUNK,
    reader="Sentinel, Defender and Data Explorer: externaldata",
    limits="100 MB, as externaldata reads no more; with `tr=1` ipv4_lookup can read it",
)
