"""Forgets a person's turns and what was derived from them, or gives them out."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.adapters.sql_sessions import IS_OVER


class SqlSessionErasure:
    """The port Erasable over the sessions of one database."""

    def __init__(self, database: Database, *, compaction_at: float) -> None:
        self._database = database
        self._at = compaction_at

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        """Sessions that the user began, whole; of others' sessions the user's turns, and the state made of
        them, which is made anew of the rest. What is under way in one of them will be refused."""
        values = {"t": tenant, "u": user}
        begun = "SELECT id FROM sessions WHERE tenant = :t AND user_name = :u"
        joined = (
            "SELECT DISTINCT session FROM turns WHERE tenant = :t AND user_name = :u "
            f"AND session NOT IN ({begun})"
        )
        async with self._database.writing() as connection:
            others = [row["session"] for row in await rows(connection, joined, **values)]
            in_begun = f"WHERE tenant = :t AND session IN ({begun})"
            turns = await counted(connection, f"DELETE FROM turns {in_begun}", **values)
            states = await counted(connection, f"DELETE FROM session_states {in_begun}", **values)
            sessions = await counted(
                connection, "DELETE FROM sessions WHERE tenant = :t AND user_name = :u", **values
            )
            turns += await counted(
                connection, "DELETE FROM turns WHERE tenant = :t AND user_name = :u", **values
            )
            for session in others:
                states += await self._forget_state(connection, tenant, session)
        return {"sessions": sessions, "turns": turns, "session_states": states}

    async def _forget_state(self, connection: AsyncConnection, tenant: str, session: str) -> int:
        values = {"t": tenant, "s": session}
        states = await counted(
            connection, "DELETE FROM session_states WHERE tenant = :t AND session = :s", **values
        )
        left = int(
            await connection.scalar(
                text("SELECT coalesce(sum(tokens), 0) FROM turns WHERE tenant = :t AND session = :s"), values
            )
            or 0
        )
        over = IS_OVER.format(window=":left", limit="limit_tokens")
        await counted(
            connection,
            "UPDATE sessions SET state_version = state_version + 1, window_tokens = :left, "
            f"log_tokens = :left, holder = NULL, is_due = {over}, claimed_until = 0 "
            "WHERE tenant = :t AND id = :s",
            left=left,
            at=self._at,
            **values,
        )
        return states

    async def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        """The port's `export`: one record a turn, session by session."""
        query = (
            'SELECT session, seq, document, user_name AS "user", model, input_tokens, output_tokens, '
            "created_at FROM turns WHERE tenant = :t AND (session, seq) > (:session, :seq) AND "
            "(user_name = :u OR session IN (SELECT id FROM sessions WHERE tenant = :t AND user_name = :u)) "
            "ORDER BY session, seq LIMIT 500"
        )
        session, seq = "", 0
        while True:
            async with self._database.reading() as connection:
                page = await rows(connection, query, t=tenant, u=user, session=session, seq=seq)
            if not page:
                return
            for row in page:
                yield {"kind": "turn", **row, "document": msgspec.json.decode(row["document"])}
            session, seq = page[-1]["session"], page[-1]["seq"]
