"""When people looked last: what they are told as new is what happened since."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, String, Table

from tipline.store.control import METADATA

VISITS = Table(
    "visits",
    METADATA,
    Column("user", String(100), primary_key=True),
    Column("last", DateTime, nullable=False),  # when they last looked
    Column("before", DateTime),  # when they last looked in the visit before this one
)
