"""How CSV text is told apart into cells, and the cells of some records."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

# A delimiter that is not one ASCII character is read as this control character, which no feed has a use for.
STAND_IN = "\x1f"


@dataclass(frozen=True)
class Dialect:
    """How records and cells are told apart."""

    delimiter: str = ","
    quote: str | None = '"'
    comments: tuple[str, ...] = ("#",)
    trim: bool = True

    @property
    def separator(self) -> str:
        """The one character that stands between cells once a block is prepared."""
        plain = len(self.delimiter) == 1 and self.delimiter.isascii()
        return self.delimiter if plain else STAND_IN

    def prepared(self, block: bytes) -> bytes:
        """The block with a long delimiter replaced by its stand-in."""
        if self.separator == self.delimiter:
            return block
        stand_in = STAND_IN.encode()
        return block.replace(stand_in, b" ").replace(self.delimiter.encode(), stand_in)

    def restored(self, text: str) -> str:
        """A record's text with its delimiter as it was."""
        return text if self.separator == self.delimiter else text.replace(STAND_IN, self.delimiter)


@dataclass
class Cells:
    """Cells of some records.

    Attributes:
        frame: String columns `c0`, `c1`, ... for the positions asked for; null: empty or missing.
        short: row number to text, for records that lack a cell.
        bad: texts of records that cannot be read (not in the frame).
    """

    frame: pl.DataFrame
    short: dict[int, str] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Want:
    """Which cells to read, and the highest position that a record must have."""

    positions: list[int]
    needed: int
