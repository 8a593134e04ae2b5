"""Sessions in the database: turns and leases, the same on SQLite and PostgreSQL."""

import secrets
import time
from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.adapters.sql_session_rows import IS_OVER, TURNS, now_of, turn_of
from cloud.domain_sessions import Lease, NewTurn, Session, Turn
from cloud.wire.chat import Message
from cloud.wire.errors import NotFound, SessionConflict

_SESSION = (
    'SELECT id, user_name AS "user", next_seq - 1 AS turns, sent_tokens, raw_tokens, state_version, '
    "created_at, updated_at FROM sessions WHERE tenant = :tenant AND next_seq > 1"
)

_role_of = msgspec.json.Decoder(Message)


class SqlSessions:
    """The ports SessionStore and SessionWriter over one database."""

    def __init__(self, database: Database, *, lease_s: float, compaction_at: float) -> None:
        self._database = database
        self._lease_s = lease_s
        self._at = compaction_at
        self._now = now_of(is_postgresql=database.is_postgresql)

    # SessionStore

    async def session(self, tenant: str, session: str) -> Session:
        async with self._database.reading() as connection:
            found = await rows(connection, f"{_SESSION} AND id = :id", tenant=tenant, id=session)
        if not found:
            raise _unknown(session)
        return Session(**found[0])

    async def sessions(self, tenant: str, *, limit: int, after: str | None = None) -> tuple[Session, ...]:
        query = f"{_SESSION} AND id > :after ORDER BY id LIMIT :limit"
        async with self._database.reading() as connection:
            found = await rows(connection, query, tenant=tenant, after=after or "", limit=limit)
        return tuple(Session(**row) for row in found)

    async def turns(
        self, tenant: str, session: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[Turn, ...]:
        query = f"{TURNS} ORDER BY seq LIMIT :limit"
        async with self._database.reading() as connection:
            found = await rows(connection, query, tenant=tenant, session=session, after=after, limit=limit)
        return tuple(map(turn_of, found))

    async def delete(self, tenant: str, session: str) -> None:
        async with self._database.writing() as connection:
            found = await counted(
                connection, "DELETE FROM sessions WHERE tenant = :t AND id = :s", t=tenant, s=session
            )
            for table in ("turns", "session_states"):
                await counted(
                    connection,
                    f"DELETE FROM {table} WHERE tenant = :t AND session = :s",
                    t=tenant,
                    s=session,
                )
        if not found:
            raise _unknown(session)

    # SessionWriter

    async def take(self, tenant: str, session: str, *, user: str | None) -> Lease | None:
        lease = Lease(tenant=tenant, session=session, holder=secrets.token_hex(12))
        wall = time.time()

        async def write(connection: AsyncConnection) -> bool:
            await counted(
                connection,
                "INSERT INTO sessions (tenant, id, incarnation, user_name, created_at, updated_at) "
                "VALUES (:t, :s, :incarnation, :user, :wall, :wall) ON CONFLICT (tenant, id) DO NOTHING",
                incarnation=secrets.token_hex(8),
                t=tenant,
                s=session,
                user=user,
                wall=wall,
            )
            # A lease that ends impossibly late was taken before the clock went backwards.
            is_taken = await counted(
                connection,
                f"UPDATE sessions SET holder = :holder, lease_until = {self._now} + :term "
                f"WHERE tenant = :t AND id = :s AND (holder IS NULL OR lease_until < {self._now} "
                f"OR lease_until > {self._now} + 2 * :term)",
                holder=lease.holder,
                term=self._lease_s,
                t=tenant,
                s=session,
                wall=wall,
            )
            return is_taken == 1

        return lease if await self._database.write(write) else None

    async def renew(self, lease: Lease) -> bool:
        async def write(connection: AsyncConnection) -> int:
            return await counted(
                connection,
                f"UPDATE sessions SET lease_until = {self._now} + :term "
                "WHERE tenant = :tenant AND id = :session AND holder = :holder",
                term=self._lease_s,
                wall=time.time(),
                **_of(lease),
            )

        return await self._database.write(write) == 1

    async def append(
        self,
        lease: Lease,
        turns: Sequence[NewTurn],
        *,
        user: str | None,
        prompt_tokens: int,
        limit_tokens: int,
    ) -> int:
        tokens = sum(turn.tokens for turn in turns)
        asked = sum(turn.tokens for turn in turns if turn.model is None)
        over = IS_OVER.format(window="(window_tokens + :tokens)", limit=":limit")
        wall = time.time()

        async def write(connection: AsyncConnection) -> int:
            # The holder is the fence: who lost the lease, however late it comes, matches no row.
            last = await connection.scalar(
                text(
                    "UPDATE sessions SET next_seq = next_seq + :count, holder = NULL, lease_until = 0, "
                    "sent_tokens = sent_tokens + :sent, raw_tokens = raw_tokens + log_tokens + :asked, "
                    "log_tokens = log_tokens + :tokens, window_tokens = window_tokens + :tokens, "
                    f"limit_tokens = :limit, is_due = {over}, updated_at = :wall "
                    "WHERE tenant = :tenant AND id = :session AND holder = :holder RETURNING next_seq - 1"
                ),
                {
                    "count": len(turns),
                    "sent": prompt_tokens,
                    "asked": asked,
                    "tokens": tokens,
                    "limit": limit_tokens,
                    "at": self._at,
                    "wall": wall,
                    **_of(lease),
                },
            )
            if last is None:
                raise SessionConflict("this session was taken over or deleted meanwhile; nothing was kept")
            await connection.execute(
                text(
                    "INSERT INTO turns (tenant, session, seq, role, document, tokens, user_name, model, "
                    "input_tokens, output_tokens, created_at) VALUES (:tenant, :session, :seq, :role, "
                    ":document, :tokens, :user, :model, :input, :output, :wall)"
                ),
                [
                    {
                        "tenant": lease.tenant,
                        "session": lease.session,
                        "seq": seq,
                        "role": _role_of.decode(turn.document).role,
                        "document": turn.document.decode(),
                        "tokens": turn.tokens,
                        "user": user,
                        "model": turn.model,
                        "input": turn.usage.prompt_tokens if turn.usage else None,
                        "output": turn.usage.completion_tokens if turn.usage else None,
                        "wall": wall,
                    }
                    for seq, turn in enumerate(turns, start=last - len(turns) + 1)
                ],
            )
            return int(last)

        return await self._database.write(write)

    async def release(self, lease: Lease) -> None:
        whose = "WHERE tenant = :tenant AND id = :session AND holder = :holder"

        async def write(connection: AsyncConnection) -> None:
            # A session whose first answer failed never was.
            if not await counted(
                connection,
                f"DELETE FROM sessions {whose} AND next_seq = 1",
                **_of(lease),
            ):
                await counted(
                    connection,
                    f"UPDATE sessions SET holder = NULL, lease_until = 0 {whose}",
                    **_of(lease),
                )

        await self._database.write(write)


def _of(lease: Lease) -> dict[str, str]:
    return {"tenant": lease.tenant, "session": lease.session, "holder": lease.holder}


def _unknown(session: str) -> NotFound:
    return NotFound(f"there is no session `{session}`", code="session_not_found")
