"""Answers kept under the key their caller gave them, so that a repeated request is answered once."""

import sqlalchemy as sa
from alembic import op

revision = "accounting_0001"
down_revision = None
branch_labels = ("accounting",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotent_answers",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("body_hash", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text),
        sa.Column("documents", sa.LargeBinary),
        sa.Column("headers", sa.LargeBinary),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("held_until", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "idempotency_key"),
    )
    op.create_index("idempotent_answers_expiring", "idempotent_answers", ["expires_at"])
