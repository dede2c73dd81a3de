"""Overrides of single indicators, what deliveries did over time, and when people looked last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "overrides",
        sa.Column("output", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=True),
        sa.Column("severity", sa.String(length=40), nullable=True),
        sa.Column("title", sa.String(length=200), nullable=True),
        sa.Column("expires", sa.DateTime(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("output", "key"),
    )
    op.create_table(
        "delivery_counts",
        sa.Column("output", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("output", "at"),
    )
    op.create_table(
        "visits",
        sa.Column("user", sa.String(length=100), nullable=False),
        sa.Column("last", sa.DateTime(), nullable=False),
        sa.Column("before", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("user"),
    )


def downgrade() -> None:
    """Take the tables away."""
    for name in ("visits", "delivery_counts", "overrides"):
        op.drop_table(name)
