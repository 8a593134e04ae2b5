"""Whose process works on an answer: one that has died no longer holds its key."""

import sqlalchemy as sa
from alembic import op

revision = "idempotency_0001"
down_revision = None
branch_labels = ("idempotency",)
depends_on = "accounting_0001"


def upgrade() -> None:
    # Of claims that an earlier release made nobody knows the process: they lapse when they said they would.
    op.add_column("idempotent_answers", sa.Column("process", sa.Text, nullable=False, server_default=""))
