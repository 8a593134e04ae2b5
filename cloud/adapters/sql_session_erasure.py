"""Forgets a person's turns and what was derived from them, gives them out, or takes them back."""

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, paged, rows
from cloud.adapters.sql_session_rows import IS_OVER
from cloud.wire.chat import Message
from cloud.wire.errors import InvalidRequest

SessionName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


_SESSION_COLUMNS = "id AS session, sent_tokens, raw_tokens, limit_tokens, created_at, updated_at"


class _Session(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="session"
):
    """A line of an export."""

    session: SessionName
    sent_tokens: int = 0
    raw_tokens: int = 0
    limit_tokens: int = 0
    created_at: float
    updated_at: float


class _Turn(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="turn"
):
    """A line of an export."""

    session: SessionName
    seq: Annotated[int, msgspec.Meta(ge=1)]
    document: dict[str, Any]
    tokens: Annotated[int, msgspec.Meta(ge=0)]
    user: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    created_at: float

    @property
    def message(self) -> Message:
        return msgspec.convert(self.document, Message)

    def __post_init__(self) -> None:
        """A document that is no message is refused while it is read (msgspec tells which record)."""
        try:
            _ = self.message
        except msgspec.ValidationError as error:
            raise ValueError(f"`document` is no message: {error}") from error


class SqlSessionErasure:
    """The port Erasable over the sessions of one database."""

    kinds: frozenset[str] = frozenset({"session", "turn"})

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
        """The port's `export`: the sessions that the person began, then one record a turn by session."""
        begun = (
            f"SELECT {_SESSION_COLUMNS} FROM sessions WHERE tenant = :t AND user_name = :u AND next_seq > 1 "
            "AND id > :session ORDER BY id LIMIT 500"
        )
        async for row in paged(self._database, begun, start={"session": ""}, t=tenant, u=user):
            yield {"kind": "session", **row}
        query = (
            'SELECT session, seq, document, tokens, user_name AS "user", model, input_tokens, output_tokens, '
            "created_at FROM turns WHERE tenant = :t AND (session, seq) > (:session, :seq) AND "
            "(user_name = :u OR session IN (SELECT id FROM sessions WHERE tenant = :t AND user_name = :u)) "
            "ORDER BY session, seq LIMIT 500"
        )
        async for row in paged(self._database, query, start={"session": "", "seq": 0}, t=tenant, u=user):
            yield {"kind": "turn", **row, "document": msgspec.json.decode(row["document"])}

    async def restore(self, tenant: str, user: str, records: Sequence[Mapping[str, Any]]) -> int:
        """The port's `restore`. State objects are made anew; what is under way in one will be refused."""
        try:
            told = [msgspec.convert(record, _Session | _Turn) for record in records]
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"not a turn or session as an export gives it: {error}") from error
        sessions = [one for one in told if isinstance(one, _Session)]
        turns = [one for one in told if isinstance(one, _Turn)]
        kept = 0
        async with self._database.writing() as connection:
            for one in sessions:
                kept += await self._restore_session(connection, tenant, one, user=user)
            begun = {
                row["id"]
                for row in await rows(
                    connection,
                    "SELECT id FROM sessions WHERE tenant = :t AND user_name = :u",
                    t=tenant,
                    u=user,
                )
            }
            by_session: dict[str, list[_Turn]] = {}
            for turn in turns:
                if turn.user != user and turn.session not in begun:
                    raise InvalidRequest(
                        f"turn {turn.seq} of session `{turn.session}` is not of `{user}`", param="user"
                    )
                by_session.setdefault(turn.session, []).append(turn)
            for session, theirs in sorted(by_session.items()):
                fresh = await self._restore_turns(connection, tenant, session, theirs)
                kept += fresh
                if fresh:
                    await self._recount(connection, tenant, session)
        return kept

    async def _restore_session(
        self, connection: AsyncConnection, tenant: str, one: "_Session", *, user: str | None
    ) -> int:
        return await counted(
            connection,
            "INSERT INTO sessions (tenant, id, incarnation, user_name, sent_tokens, raw_tokens, "
            "limit_tokens, created_at, updated_at) VALUES (:t, :session, :incarnation, :u, :sent_tokens, "
            ":raw_tokens, :limit_tokens, :created_at, :updated_at) ON CONFLICT (tenant, id) DO NOTHING",
            t=tenant,
            u=user,
            incarnation=secrets.token_hex(8),
            **{name: getattr(one, name) for name in one.__struct_fields__},
        )

    async def _restore_turns(
        self, connection: AsyncConnection, tenant: str, session: str, turns: Sequence["_Turn"]
    ) -> int:
        """Into a session that another began; where it is not there it is of nobody."""
        created = min(turn.created_at for turn in turns)
        shell = _Session(session=session, created_at=created, updated_at=created)
        await self._restore_session(connection, tenant, shell, user=None)
        return sum(
            [
                await counted(
                    connection,
                    "INSERT INTO turns (tenant, session, seq, role, document, tokens, user_name, model, "
                    "input_tokens, output_tokens, created_at) VALUES (:t, :session, :seq, :role, :document, "
                    ":tokens, :user, :model, :input_tokens, :output_tokens, :created_at) "
                    "ON CONFLICT (tenant, session, seq) DO NOTHING",
                    t=tenant,
                    role=turn.message.role,
                    **{name: getattr(turn, name) for name in turn.__struct_fields__ if name != "document"},
                    document=msgspec.json.encode(turn.document).decode(),
                )
                for turn in turns
            ]
        )

    async def _recount(self, connection: AsyncConnection, tenant: str, session: str) -> None:
        after_state = (
            "SELECT coalesce(sum(tokens), 0) FROM turns WHERE tenant = :t AND session = :s AND seq > "
            "coalesce((SELECT covered_through FROM session_states WHERE tenant = :t AND session = :s), 0)"
        )
        state = "coalesce((SELECT tokens FROM session_states WHERE tenant = :t AND session = :s), 0)"
        window = await connection.scalar(
            text(f"SELECT ({after_state}) + {state}"), {"t": tenant, "s": session}
        )
        over = IS_OVER.format(window=":window", limit="limit_tokens")
        await counted(
            connection,
            "UPDATE sessions SET holder = NULL, lease_until = 0, window_tokens = :window, "
            "next_seq = (SELECT max(seq) + 1 FROM turns WHERE tenant = :t AND session = :s), log_tokens = "
            f"(SELECT sum(tokens) FROM turns WHERE tenant = :t AND session = :s), is_due = {over} "
            "WHERE tenant = :t AND id = :s",
            window=int(window or 0),
            at=self._at,
            t=tenant,
            s=session,
        )
