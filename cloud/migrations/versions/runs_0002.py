"""Ended runs that an import brought: read, and never gone on with."""

import sqlalchemy as sa
from alembic import op

revision = "runs_0002"
down_revision = "runs_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imported_runs",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("imported_runs_of_user", "imported_runs", ["tenant", "user_name", "created_at"])
    op.create_index("imported_runs_by_age", "imported_runs", ["created_at"])
