"""The reference page of all output kinds: what each can carry, and its limits, from the kinds' declarations."""

from __future__ import annotations

from tipline.cli.reference_settings import table
from tipline.kinds import kinds
from tipline.outputs.base import Carries

_TITLE = "# What each output can carry"
_INTRO = """What an output cannot carry is dropped with a [reason](drop-reasons.md), and counted. `max_tlp` and `where`
filter every kind. A receipt says what is known of the far side: `tipline deliveries`, `tipline why`."""
_COLUMNS = ("types", "confidence", "tlp", "expiry", "removal", "receipt", "limits")


def outputs_page() -> str:
    """The page."""
    declared: dict[str, Carries] = {name: vars(kind)["carries"] for name, kind in kinds("output").items()}
    rows = [
        (f"[`{name}`](outputs/{name}.md)", *(getattr(carries, column) or "-" for column in _COLUMNS))
        for name, carries in declared.items()
    ]
    return "\n\n".join([_TITLE, _INTRO, table(("Kind", *(column.upper() if column == "tlp" else column.title()
                                                          for column in _COLUMNS)), rows)])  # fmt: skip
