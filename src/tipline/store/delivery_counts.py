"""What deliveries did over time: numbers for every five minutes in which something was done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, Column, Connection, DateTime, String, Table, delete, insert, select, update

from tipline.store.control import METADATA, Control

MINUTES = 5
NUMBERS = ("sent", "accepted", "errors", "deleted")
DELIVERY_COUNTS = Table(
    "delivery_counts",
    METADATA,
    Column("output", String(200), primary_key=True),
    Column("at", DateTime, primary_key=True),  # when the five minutes began
    Column("sent", BigInteger, nullable=False, default=0),
    Column("accepted", BigInteger, nullable=False, default=0),
    Column("errors", BigInteger, nullable=False, default=0),
    Column("deleted", BigInteger, nullable=False, default=0),
)
_C = DELIVERY_COUNTS.c


def add(con: Connection, output: str, now: datetime, more: dict[str, int]) -> None:
    """Add to the numbers of the five minutes that a moment is in."""
    begun = now.replace(minute=now.minute // MINUTES * MINUTES, second=0, microsecond=0)
    values = {name: more.get(name, 0) for name in NUMBERS}
    there = update(DELIVERY_COUNTS).where(_C.output == output, _C.at == begun)
    if not con.execute(there.values({name: _C[name] + number for name, number in values.items()})).rowcount:
        con.execute(insert(DELIVERY_COUNTS).values(output=output, at=begun, **values))


def since(control: Control, outputs: Sequence[str], moment: datetime) -> list[tuple[datetime, tuple[int, ...]]]:
    """(when five minutes began, the numbers in the order of `NUMBERS`) of some outputs, one row an output."""
    query = select(_C.at, *(_C[name] for name in NUMBERS)).where(_C.output.in_(outputs), _C.at >= moment)
    with control.reading() as con:
        return [(row[0], tuple(map(int, row[1:]))) for row in con.execute(query)]


def prune(control: Control, before: datetime) -> None:
    """Drop the numbers from before a moment."""
    with control.transaction() as con:
        con.execute(delete(DELIVERY_COUNTS).where(_C.at < before))


def forget_output(con: Connection, output: str) -> None:
    """Drop an output's numbers."""
    con.execute(delete(DELIVERY_COUNTS).where(_C.output == output))
