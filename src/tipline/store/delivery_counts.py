"""What deliveries did over time: numbers for every five minutes in which something was done."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, String, Table

from tipline.store.control import METADATA

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
