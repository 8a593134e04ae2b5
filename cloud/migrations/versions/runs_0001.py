"""Processes that do runs, and when they were last heard of. The runs themselves are DBOS's."""

import sqlalchemy as sa
from alembic import op

revision = "runs_0001"
down_revision = None
branch_labels = ("runs",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_workers",
        sa.Column("executor", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
