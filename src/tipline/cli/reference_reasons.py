"""The reference page of reasons for dropping: those of sources, and those of processors and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent

from tipline.cli.reference_settings import table
from tipline.model.reasons import DROP_REASONS, NODE_REASONS, Reason

# What a format says of a row that it cannot read at all.
FORMAT_REASONS = {"bad-row": "the record does not have the form that the source's settings describe"}
# Why a published indicator is not at the far side now; `deliveries` counts them.
WAITING_REASONS: dict[str, Reason] = {
    "ended": Reason("every delivery", "its own end has passed; no far side would take it"),
    "no-slot": Reason("Defender", "others score higher, and `capacity` is reached"),
    "covered": Reason("Defender", "a URL below a listed domain takes no slot; the domain is named"),
    "refused": Reason("Defender", "Defender refused it for good; tried again when it or the settings change"),
}
# Why an indicator is parked without being sent.
PARKED_REASONS: dict[str, Reason] = {
    "message-too-long": Reason("syslog", "its message is longer than max_message, or than a field of CEF"),
    "no-pattern": Reason("Sentinel", "STIX has no pattern for this value (a range, for instance)"),
    "not-one-address": Reason("Defender", "a network or range that was not expanded"),
    "no-title": Reason("Defender", "the title's template gives nothing for it"),
}

_BALANCE = """
Every record that is read is accepted, a duplicate, or dropped with a reason; the counts always
balance. `tipline status` shows how many, `tipline runs NODE` by reason, `tipline why VALUE` for one
indicator, and [the metric](metrics.md) `tipline_records_dropped_total` has the code as its label.
"""


def reasons_page() -> str:
    """Every reason with what it means."""
    sources = {**DROP_REASONS, **FORMAT_REASONS}
    blocks = [
        "# Reasons for dropping",
        dedent(_BALANCE).strip(),
        "## At sources",
        table(("Reason", "Meaning"), ((f"`{code}`", text) for code, text in sorted(sources.items()))),
        "## At processors and outputs",
        "Some carry details after a colon: `network-too-wide: 256 addresses; up to 16 are expanded`.",
        _reasons(NODE_REASONS),
        "## Published, and not sent now",
        "`tipline deliveries` counts these; they are no errors.",
        _reasons(WAITING_REASONS),
        "## Parked without being sent",
        "Beside what a far side refuses in its own words, which is shown as it came.",
        _reasons(PARKED_REASONS),
    ]
    return "\n\n".join(blocks)


def _reasons(reasons: Mapping[str, Reason]) -> str:
    rows = ((f"`{code}`", reason.by, reason.meaning) for code, reason in reasons.items())
    return table(("Reason", "Given by", "Meaning"), rows)
