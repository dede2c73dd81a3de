"""What an expression may name: fields with their SQL and sort, and the words some are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tipline.model.tlp import NAMES
from tipline.model.types import TYPES
from tipline.processors.iptext import size

# The sort of a value: `any` is a field of `extra`, compared as what it is compared with.
Sort = Literal["text", "number", "yes/no", "list", "tlp", "time", "duration", "any", "null"]

FUNCTIONS = ["contains", "endswith", "lower", "matches", "startswith"]
AS_OF = "\x00"  # stands for the moment of evaluation until it is known; no expression can hold it


@dataclass(frozen=True)
class Field:
    """One name: its sort, its SQL, the words it may be compared with, and the columns its value ages by."""

    sort: Sort
    sql: str
    words: tuple[str, ...] = ()
    ages_by: tuple[str, ...] = ()


def _age(column: str) -> Field:
    since = f"epoch_us(coalesce({column}, added))"
    return Field("duration", f"(epoch_us(CAST({AS_OF} AS TIMESTAMP)) - {since})", ages_by=(column, "added"))


FIELDS: dict[str, Field] = {
    "type": Field("text", "type", words=tuple(TYPES)),
    "value": Field("text", "value"),
    "host": Field("text", "array_to_string(list_reverse(string_split(rtrim(rhost, '.'), '.')), '.')"),
    "confidence": Field("number", "confidence"),
    "tlp": Field("tlp", "tlp", words=NAMES),
    "actionable": Field("yes/no", "actionable"),
    "direction": Field("text", "direction", words=("inbound", "outbound")),
    "description": Field("text", "description"),
    "sources": Field("list", "sources"),
    "tags": Field("list", "tags"),
    "threat_types": Field("list", "threat_types"),
    "references": Field("list", "refs"),
    "size": Field("number", f"CASE WHEN type IN ('ipv4', 'ipv6') THEN {size()} END"),
    "first_seen": Field("time", "first_seen"),
    "last_seen": Field("time", "last_seen"),
    "valid_until": Field("time", "valid_until"),
    "added": Field("time", "added"),
    "age": _age("first_seen"),
    "seen_age": _age("last_seen"),
}


def extra(path: list[str]) -> Field:
    """A field of `extra`: text as JSON holds it, missing where `extra` is no JSON."""
    steps = "".join(f'."{step}"' for step in path)
    return Field("any", f"CASE WHEN json_valid(extra) THEN json_extract_string(extra, '${steps}') END")
