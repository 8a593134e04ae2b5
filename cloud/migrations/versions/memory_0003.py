"""Embeddings of memories, by the bundle that made them, and how far each owner's are made."""

import sqlalchemy as sa
from alembic import op

revision = "memory_0003"
down_revision = "memory_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memory_vectors",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", "bundle"),
        # What is forgotten takes its embedding with it, whoever forgets it.
        sa.ForeignKeyConstraint(["tenant", "id"], ["memories.tenant", "memories.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "memory_embedded",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("bundle", sa.Text, nullable=False),
        # Of `memories.seq`: up to here every memory of the owner has its embedding.
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "scope", "owner", "bundle"),
        sa.ForeignKeyConstraint(
            ["tenant", "scope", "owner"],
            ["memory_owners.tenant", "memory_owners.scope", "memory_owners.owner"],
            ondelete="CASCADE",
        ),
    )
