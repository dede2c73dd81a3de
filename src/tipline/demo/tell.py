"""Says what happens: on a terminal as it goes, or not at all when only the figures are wanted."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.tree import Tree


class Teller:
    """Tells a demonstration.

    Args:
        quiet: say nothing (`--json`).
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(quiet=quiet, highlight=False, width=None if sys.stdout.isatty() else 120)
        self._number = 0

    def step(self, title: str) -> None:
        """A new step."""
        self._number += 1
        self._console.print(f"\n[bold cyan]{self._number}. {title}[/]")

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(f"   {text}", markup=False)

    def table(self, title: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A table."""
        table = Table(title=title, title_justify="left", title_style="italic")
        for column in columns:
            table.add_column(column, justify="left" if column == columns[0] else "right")
        for row in rows:
            table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
        self._console.print(table)

    def record(self, title: str, fields: dict[str, Any]) -> None:
        """One record, a line a field."""
        table = Table(title=title, title_justify="left", title_style="italic", show_header=False)
        for name, value in fields.items():
            table.add_row(name, str(value))
        self._console.print(table)

    def tree(self, title: str, found: dict[str, Any]) -> None:
        """What `tipline why` knows."""
        tree = Tree(f"[bold]{title}[/]")
        for section, entries in found.items():
            if not isinstance(entries, list) or not entries:
                continue
            branch = tree.add(section)
            for entry in entries:
                shown = ", ".join(f"{name}: {value}" for name, value in entry.items() if value not in (None, [], False))
                branch.add(shown.replace("[", r"\["))
        self._console.print(tree)
