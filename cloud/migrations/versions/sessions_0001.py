"""Sessions, their turns and their state objects."""

import sqlalchemy as sa
from alembic import op

revision = "sessions_0001"
down_revision = None
branch_labels = ("sessions",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("incarnation", sa.Text, nullable=False),
        sa.Column("user_name", sa.Text),
        sa.Column("next_seq", sa.BigInteger, nullable=False, server_default="1"),
        sa.Column("sent_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("raw_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("log_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("window_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("limit_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("state_version", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("is_due", sa.Integer, nullable=False, server_default="0"),
        sa.Column("claimed_until", sa.Double, nullable=False, server_default="0"),
        sa.Column("holder", sa.Text),
        sa.Column("lease_until", sa.Double, nullable=False, server_default="0"),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    due = sa.text("is_due = 1")
    op.create_index("sessions_due", "sessions", ["claimed_until"], sqlite_where=due, postgresql_where=due)
    op.create_index("sessions_of_user", "sessions", ["tenant", "user_name"])
    op.create_table(
        "turns",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("user_name", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "session", "seq"),
    )
    op.create_index("turns_of_user", "turns", ["tenant", "user_name"])
    op.create_table(
        "session_states",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("covered_through", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "session"),
    )
