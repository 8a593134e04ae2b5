"""What tenants have spent of their budgets, and what they used by day, agent and model."""

import sqlalchemy as sa
from alembic import op

revision = "accounting_0002"
down_revision = "accounting_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spending",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("usd", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "period", "began"),
    )
    op.create_table(
        "daily_usage",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("usd", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "day", "agent", "model"),
    )
