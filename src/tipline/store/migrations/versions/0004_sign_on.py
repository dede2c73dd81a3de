"""Sessions say which issuer vouched for them, and what it calls its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    with op.batch_alter_table("sessions") as table:
        table.add_column(sa.Column("issuer", sa.String(length=40), nullable=False, server_default=""))
        table.add_column(sa.Column("sid", sa.String(length=200), nullable=False, server_default=""))


def downgrade() -> None:
    """Take them away."""
    with op.batch_alter_table("sessions") as table:
        table.drop_column("sid")
        table.drop_column("issuer")
