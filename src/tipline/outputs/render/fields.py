"""The fields that CSV and JSON lists can show, as SQL over the columns of a published table.

Times are milliseconds since 1970 in UTC and types have MineMeld's names, since that is what readers of such
lists were written for (MineMeld, `feedredis.py`); `first_seen_iso` and the like are ISO 8601, and
`indicator_type` is the type as it is called here. A field that is none of these is looked up in `extra`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tipline.model import tlp
from tipline.model.types import TYPES

Shape = Literal["text", "word", "list", "number"]

# What can end a line for some reader: C0 and C1 controls (NEL too), DEL, and Unicode's line separators.
CONTROL = r"\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}"
# Marks that change the order in which text is shown, so that it reads as something else.
BIDI = r"\x{61c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{2069}"


@dataclass(frozen=True)
class Field:
    """SQL of a field, and the shape of what it yields; a word is text that nothing has to be done to."""

    sql: str
    shape: Shape = "text"


def _levels(names: tuple[str, ...]) -> str:
    cases = " ".join(f"WHEN {level} THEN '{name}'" for level, name in enumerate(names))
    return f"CASE tlp {cases} END"


def iso(column: str) -> str:
    """SQL: a time as ISO 8601 in UTC, to the second."""
    # Cutting the text of a time takes a quarter of the time that strftime takes.
    return f"left(replace(({column})::VARCHAR, ' ', 'T'), 19) || 'Z'"


_TIMES = ("first_seen", "last_seen", "valid_until", "added", "since")
_SEEN = frozenset({"first_seen", "last_seen"})
_FIELDS: dict[str, Field] = {
    "indicator": Field("value"),
    "confidence": Field("confidence", "number"),
    "sources": Field("sources", "list"),
    "share_level": Field(_levels(tlp.LEGACY_NAMES), "word"),
    "tlp": Field(_levels(tlp.NAMES), "word"),
    "direction": Field("direction"),
    "actionable": Field("actionable", "number"),
    "tags": Field("tags", "list"),
    "threat_types": Field("threat_types", "list"),
    "description": Field("description"),
    "references": Field("refs", "list"),
    **{name: Field(f"epoch_ms({name})", "number") for name in _TIMES},
    **{f"{name}_iso": Field(iso(name), "word") for name in _TIMES},
}
# The published columns that a field reads, where they are not named like it.
_COLUMNS = {"indicator": "value", "indicator_type": "type", "share_level": "tlp", "references": "refs"}


def field(name: str, type_: str, *, compat: bool = False) -> Field | None:
    """A field of the indicators of one type; None: it is a key of `extra`.

    Args:
        name: of the field.
        type_: of the indicators.
        compat: as MineMeld, where an indicator was seen when it came if its feed does not say when.
    """
    if compat and name in _SEEN:
        return Field(f"epoch_ms(coalesce({name}, added))", "number")
    if name == "type":
        known = TYPES.get(type_)
        return Field(literal((known.minemeld if known else None) or type_))
    if name == "indicator_type":
        return Field(literal(type_))
    return _FIELDS.get(name)


def columns(names: list[str]) -> list[str]:
    """The published columns that fields read (for what an output shows)."""
    known = {name: _COLUMNS.get(name, name.removesuffix("_iso")) for name in ("type", "indicator_type", *_FIELDS)}
    return sorted({known.get(name, "extra") for name in names})


def extra_path(name: str) -> str:
    """The JSON path of a key of `extra`, as a SQL literal."""
    return literal('$."' + name.replace('"', "") + '"')


def extra_object() -> str:
    """SQL: `extra` if it is a JSON object, else null."""
    return "CASE WHEN json_valid(extra) AND json_type(extra) = 'OBJECT' THEN extra END"


def literal(text: str) -> str:
    """A SQL string."""
    return "'" + text.replace("'", "''") + "'"
