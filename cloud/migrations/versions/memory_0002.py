"""Versions of memories with the times they hold, and what changed of whose since when."""

import sqlalchemy as sa
from alembic import op

revision = "memory_0002"
down_revision = "memory_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("memories", sa.Column("lineage", sa.Text, nullable=False, server_default=""))
    op.add_column("memories", sa.Column("valid_until", sa.Double))
    op.add_column("memories", sa.Column("seq", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE memories SET lineage = id")
    op.execute(
        "UPDATE memories SET seq = numbered.seq FROM (SELECT tenant, id, row_number() OVER "
        "(PARTITION BY tenant, scope, owner ORDER BY created_at, id) AS seq FROM memories) AS numbered "
        "WHERE memories.tenant = numbered.tenant AND memories.id = numbered.id"
    )
    op.create_table(
        "memory_owners",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        # Tells an owner from one of the same name that was erased.
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("removed", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("tenant", "scope", "owner"),
    )
    op.execute(
        "INSERT INTO memory_owners (tenant, scope, owner, incarnation, last_seq) "
        "SELECT tenant, scope, owner, 'memory_0002', max(seq) FROM memories GROUP BY tenant, scope, owner"
    )
    op.drop_index("memories_of_owner", "memories")
    op.create_index("memories_since", "memories", ["tenant", "scope", "owner", "seq"])
    op.create_index("memories_of_group", "memories", ["tenant", "passage_group", "place"])
    op.create_index("memories_of_lineage", "memories", ["tenant", "lineage"])
