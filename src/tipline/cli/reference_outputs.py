"""The reference page of all output kinds: what each can carry, and its limits, from the kinds' declarations."""

from __future__ import annotations

import json

from tipline.cli.reference_settings import table
from tipline.kinds import kinds
from tipline.model.types import TYPES
from tipline.outputs.base import Carries
from tipline.outputs.http_template import Template, shipped

_TITLE = "# What each output can carry"
_INTRO = """What an output cannot carry is dropped with a [reason](drop-reasons.md), and counted. `max_tlp` and `where`
filter every kind. A receipt says what is known of the far side: `tipline deliveries`, `tipline why`. What each
dialect of `list` and `file` has is in [list dialects](list-dialects.md)."""
_COLUMNS = ("types", "confidence", "tlp", "expiry", "removal", "receipt", "limits")
_TEMPLATES = """## Templates of `http`

What the shipped templates send; one of your own sends what it says."""
_TYPES = """## Types

Of every type that a kind does not take, the indicators are dropped as `unsupported-type`."""


def outputs_page() -> str:
    """Every kind with what it declares, every shipped template with what it sends, and the types of each kind."""
    declared: dict[str, Carries] = {name: vars(kind)["carries"] for name, kind in kinds("output").items()}
    rows = [
        (f"[`{name}`](outputs/{name}.md)", *(getattr(carries, column) or "-" for column in _COLUMNS))
        for name, carries in declared.items()
    ]
    head = ("Kind", *(column.upper() if column == "tlp" else column.title() for column in _COLUMNS))
    templates = ("Template", "Types", "Confidence", "TLP", "Expiry", "Removal")
    return "\n\n".join(
        [
            _TITLE,
            _INTRO,
            table(head, rows),
            _TEMPLATES,
            table(templates, template_rows()),
            _TYPES,
            table(("Kind", "Types"), _type_rows()),
        ]
    )


def template_rows() -> list[tuple[str, ...]]:
    """A row for each shipped template."""
    return [
        (
            f"`{name}`",
            ", ".join(template.types) or "every type",
            *("yes" if _sends(template, *fields) else "no" for fields in _FIELDS),
            f"`{template.remove.method} {template.remove.path}`",
        )
        for name, template in shipped().items()
    ]


_FIELDS = (("confidence",), ("tlp",), ("valid_until", "expires"))


def _sends(template: Template, *fields: str) -> bool:
    text = json.dumps(template.send.model_dump(mode="json")) + json.dumps(template.model_dump(mode="json")["words"])
    return any(field in text for field in fields)


def _type_rows() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, kind in kinds("output").items():
        types: frozenset[str] | None = getattr(kind, "types", None)
        found.append(
            (f"`{name}`", "every type" if types is None else ", ".join(each for each in TYPES if each in types))
        )
    return found
