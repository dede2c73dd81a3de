"""Tables and trees for people; what came from a feed is text here, never markup or control characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

_GREEN = ("ok", "unchanged", "accepted", "added", "clean")
_YELLOW = ("held", "warning", "needs credentials", "shadow", "parked", "skipped", "unverifiable")
_RED = ("failing", "failed", "dropped", "drift", "removed", "dead")
_STYLES = {
    **dict.fromkeys(_GREEN, "green"),
    **dict.fromkeys(_YELLOW, "yellow"),
    **dict.fromkeys(_RED, "red"),
    **dict.fromkeys(("new", "disabled"), "dim"),
}
# Columns of numbers, which stand to the right.
_NUMBERS = frozenset({
    "indicators", "added", "removed", "changed", "expired", "in", "out", "dropped", "lag", "sent",
    "accepted", "errors", "deleted", "parked", "held", "read", "published", "confidence", "count",
    "differences", "duplicate", "checked", "missing", "extra", "different", "foreign",
})  # fmt: skip


def text(value: Any, style: str = "") -> Text:
    """A value as plain text: control characters are spelt out."""
    if value is None or value == []:
        words = ""
    elif isinstance(value, bool):
        words = "yes" if value else "no"
    elif isinstance(value, int):
        words = f"{value:,}"
    elif isinstance(value, Mapping):
        words = ", ".join(f"{key} {number}" for key, number in value.items())
    elif isinstance(value, (list, tuple)):
        words = ", ".join(str(item) for item in value)
    else:
        words = str(value)
    safe = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in words)
    return Text(safe, style=style or _STYLES.get(words, ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> Table:
    """A plain table; columns of numbers stand to the right."""
    found = Table(
        title=title or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        found.add_column(column, justify="right" if column in _NUMBERS else "left", overflow="fold")
    for row in rows:
        found.add_row(*(text(cell) for cell in row))
    return found


def line(*parts: Any, style: str = "") -> Text:
    """Words after each other, on one line."""
    return Text(" ").join([text(part, style) for part in parts if part not in (None, "")])


def branch(tree: Tree, title: str, lines: Iterable[Text]) -> None:
    """A titled branch with its lines; left out when there are none."""
    found = list(lines)
    if found:
        under = tree.add(Text(title, style="bold"))
        for each in found:
            under.add(each)


def sets(override: dict[str, Any]) -> str:
    """What an override sets, in words."""
    words = {"action": "", "severity": "severity ", "title": "titled ", "expires": "expiring "}
    return ", ".join(f"{word}{override[name]}" for name, word in words.items() if override[name])
