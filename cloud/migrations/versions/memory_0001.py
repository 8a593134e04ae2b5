"""What is remembered for long: turns, statements, pieces of documents."""

import sqlalchemy as sa
from alembic import op

revision = "memory_0001"
down_revision = None
branch_labels = ("memory",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memories",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text),
        sa.Column("passage_group", sa.Text, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("speaker", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("said_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
        # Two writers of one memory meet here, and nowhere before it.
        sa.UniqueConstraint("tenant", "scope", "owner", "content_hash", name="memories_once"),
    )
    op.create_index("memories_of_owner", "memories", ["tenant", "scope", "owner", "passage_group", "place"])
    op.create_index("memories_of_user", "memories", ["tenant", "user_name"])
    op.create_index("memories_expiring", "memories", ["expires_at"])
