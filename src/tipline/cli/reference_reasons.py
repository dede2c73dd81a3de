"""The reference page of reasons for dropping: those of sources, and those of processors and outputs."""

from __future__ import annotations

from textwrap import dedent
from typing import NamedTuple

from tipline.cli.reference_settings import table
from tipline.model.reasons import DROP_REASONS


class Reason(NamedTuple):
    """One reason: who gives it, and what it means."""

    by: str
    meaning: str


# What a format says of a row that it cannot read at all.
FORMAT_REASONS = {"bad-row": "the record does not have the form that the source's settings describe"}
# What a node says of an indicator that it does not pass on; details follow the code after a colon.
NODE_REASONS: dict[str, Reason] = {
    "expired": Reason("every node", "the claim is over: its own end, or the source's `expire`"),
    "tlp": Reason("every output", "above the output's `max_tlp`, or red of another team"),
    "not-actionable": Reason("every output", "the source says not to act on it (`to_ids` off)"),
    "on warning list": Reason("every output", "it stands on a warning list in use that drops; the list is named"),
    "filter": Reason("filter, `where`", "the expression is not true for it"),
    "not-an-address": Reason("ranges", "only addresses, networks and ranges pass"),
    "allowed by": Reason("`allow`", "an allow-list holds it, or a domain or network above it; the entry is named"),
    "cut": Reason("`allow`", "an allow-list covers part of the range; its pieces go on as ranges of their own"),
    "network-too-wide": Reason("Defender, Sentinel", "more addresses than `expand` allows"),
    "unsupported-type": Reason("Defender, Sentinel", "the far side has no indicators of this type"),
    "md5-refused": Reason("Defender", "MD5 hashes are sent only with `md5: true`"),
    "action-not-allowed": Reason("Defender", "the configured action does not exist for this type"),
    "internal-address": Reason("Defender", "a private or reserved address; Defender takes those of the Internet"),
    "too-long": Reason("Defender", "longer than Defender takes (800 characters)"),
    "wildcard": Reason("Defender", "a domain with `*`; a domain covers its sub-domains anyway"),
}
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


def _reasons(reasons: dict[str, Reason]) -> str:
    rows = ((f"`{code}`", reason.by, reason.meaning) for code, reason in reasons.items())
    return table(("Reason", "Given by", "Meaning"), rows)
