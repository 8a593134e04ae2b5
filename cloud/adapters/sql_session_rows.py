"""A session's turns as rows, and when it is due: shared by the statements on sessions and checkpoints."""

from typing import Final

from sqlalchemy import RowMapping

from cloud.domain_sessions import Turn
from cloud.wire.answers import Usage

TURNS: Final = (
    "SELECT seq, document, user_name, model, input_tokens, output_tokens, created_at FROM turns "
    "WHERE tenant = :tenant AND session = :session AND seq > :after"
)
IS_OVER: Final = "CASE WHEN {window} > :at * {limit} AND {limit} > 0 THEN 1 ELSE 0 END"
"""Whether a session is due: its window is beyond the threshold of its prompts' limit."""


def now_of(*, is_postgresql: bool) -> str:
    """Leases of several machines need one clock: the database's. SQLite has only ours, as `wall`."""
    return "extract(epoch FROM clock_timestamp())" if is_postgresql else ":wall"


def turn_of(row: RowMapping) -> Turn:
    is_answer = row["input_tokens"] is not None
    return Turn(
        seq=row["seq"],
        document=row["document"].encode(),
        user=row["user_name"],
        model=row["model"],
        usage=Usage(
            prompt_tokens=row["input_tokens"],
            completion_tokens=row["output_tokens"],
            total_tokens=row["input_tokens"] + row["output_tokens"],
        )
        if is_answer
        else None,
        created_at=row["created_at"],
    )
