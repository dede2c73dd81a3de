"""Says what happens: on a terminal as it goes, or not at all when only the figures are wanted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table


class Teller:
    """Tells a demonstration.

    Args:
        why_tree: shows what `tipline why` found, as that command does.
        quiet: say nothing (`--json`).
    """

    def __init__(self, why_tree: Callable[[dict[str, Any]], RenderableType], *, quiet: bool = False) -> None:
        self._why_tree = why_tree
        self._console = Console(quiet=quiet, highlight=False, width=None if sys.stdout.isatty() else 120)
        self._number = 0

    def step(self, title: str) -> None:
        """A new step."""
        self._number += 1
        self._console.print(f"\n[bold cyan]{self._number}. {title}[/]")

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(f"   {text}", markup=False, soft_wrap=True)

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

    def why(self, found: dict[str, Any]) -> None:
        """What `tipline why` shows."""
        self._console.print(self._why_tree(found))
