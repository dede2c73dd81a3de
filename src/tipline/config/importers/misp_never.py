"""Filters of a script that nothing can pass, or that leave nothing to send: told, since no run would tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tipline.formats.misp_types import REFUSED, SPLITTERS
from tipline.model import type_of_word

_CATEGORIES = frozenset(
    (
        "internal reference", "targeting data", "antivirus detection", "payload delivery", "artifacts dropped",
        "payload installation", "persistence mechanism", "network activity", "payload type", "attribution",
        "external analysis", "financial fraud", "support tool", "social network", "person", "other",
    )
)  # fmt: skip


def never(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which of a source's filters nothing can pass: (the filter's name in MISP's search, why).

    Args:
        source: settings of the kind `misp`.
    """
    for name, ours in (("tags", "event_tags"), ("org", "organisations")):
        rule = source.get(ours, {})
        barred = {word.lower() for word in rule.get("none", [])}
        asked = [word.lower() for word in rule.get("any", [])]
        both = [word.lower() for word in rule.get("all", [])]
        if (asked and barred.issuperset(asked)) or barred.intersection(both):
            yield name, "nothing can pass: what it asks for it leaves out as well"
    search = source.get("search", {})
    kinds = _words(search.get("type"))
    if kinds and not any(_is_held(kind) for kind in kinds):
        yield "type", f"nothing can come of it: {', '.join(kinds)} name no indicators that tipline holds"
    categories = _words(search.get("category"))
    if categories and not any(word.lower() in _CATEGORIES for word in categories):
        yield "category", f"nothing can pass: MISP has no category {', '.join(categories)}"
    first, last = search.get("from"), search.get("to")
    if isinstance(first, str) and isinstance(last, str) and first[:4].isdigit() and last[:4].isdigit() and first > last:
        yield "date_from", f"nothing can pass: {first} is after {last}"
    if source.get("to_ids") is False:
        yield (
            "to_ids",
            (
                "only attributes without to_ids pass, and outputs that enforce take none of them:"
                " write actionable_only: false there if they are meant"
            ),
        )


def _words(value: Any) -> list[str]:
    """What a filter asks for; of words that it leaves out nothing follows."""
    if isinstance(value, Mapping):
        value = value.get("OR", value.get("AND"))
    words = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return [str(word) for word in words if str(word) and not str(word).startswith("!") and "%" not in str(word)]


def _is_held(kind: str) -> bool:
    return kind in SPLITTERS or (kind not in REFUSED and type_of_word(kind) is not None)
