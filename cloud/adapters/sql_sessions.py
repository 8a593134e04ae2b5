"""Sessions in the database: turns, leases and state objects, the same on SQLite and PostgreSQL."""

import secrets
import time
from collections.abc import Sequence

import msgspec
from sqlalchemy import RowMapping, text

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.domain_sessions import Lease, NewTurn, Session, State, Turn, Window
from cloud.wire.answers import Usage
from cloud.wire.chat import Message
from cloud.wire.errors import NotFound, SessionConflict

_LONGEST_WINDOW = 1000
"""Turns read for one prompt: more than any budget holds, should compaction be far behind."""

_CLAIM_S = 120.0
"""How long a session that somebody folds is left alone by others."""

_SESSION = (
    'SELECT id, user_name AS "user", next_seq - 1 AS turns, sent_tokens, raw_tokens, state_version, '
    "created_at, updated_at FROM sessions WHERE tenant = :tenant AND next_seq > 1"
)
_TURNS = (
    "SELECT seq, document, user_name, model, input_tokens, output_tokens, created_at FROM turns "
    "WHERE tenant = :tenant AND session = :session AND seq > :after"
)
IS_OVER = "CASE WHEN {window} > :at * {limit} AND {limit} > 0 THEN 1 ELSE 0 END"
"""Whether a session is due: its window is beyond the threshold of its prompts\' limit."""

_role_of = msgspec.json.Decoder(Message)


class SqlSessions:
    """The ports SessionStore, SessionWriter and CheckpointStore over one database."""

    def __init__(self, database: Database, *, lease_s: float, compaction_at: float) -> None:
        self._database = database
        self._lease_s = lease_s
        self._at = compaction_at
        # Leases of several machines need one clock, and it is the database's. SQLite has only ours.
        self._now = "extract(epoch FROM clock_timestamp())" if database.is_postgresql else ":wall"

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
        query = f"{_TURNS} ORDER BY seq LIMIT :limit"
        async with self._database.reading() as connection:
            found = await rows(connection, query, tenant=tenant, session=session, after=after, limit=limit)
        return tuple(map(_turn, found))

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
        async with self._database.writing() as connection:
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
        return lease if is_taken else None

    async def renew(self, lease: Lease) -> bool:
        async with self._database.writing() as connection:
            renewed = await counted(
                connection,
                f"UPDATE sessions SET lease_until = {self._now} + :term "
                "WHERE tenant = :tenant AND id = :session AND holder = :holder",
                term=self._lease_s,
                wall=time.time(),
                **_of(lease),
            )
        return renewed == 1

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
        async with self._database.writing() as connection:
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

    async def release(self, lease: Lease) -> None:
        whose = "WHERE tenant = :tenant AND id = :session AND holder = :holder"
        async with self._database.writing() as connection:
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

    # CheckpointStore

    async def window(self, tenant: str, session: str, *, from_oldest: bool = False) -> Window:
        async with self._database.reading() as connection:
            # The state first: one that is published between the two statements makes some of the turns
            # superfluous, but leaves no gap.
            known = await rows(
                connection,
                "SELECT s.incarnation, s.state_version, s.next_seq - 1 AS turns, s.limit_tokens, "
                "s.log_tokens, c.document AS state FROM sessions s "
                "LEFT JOIN session_states c ON c.tenant = s.tenant AND c.session = s.id "
                "WHERE s.tenant = :t AND s.id = :s",
                t=tenant,
                s=session,
            )
            if not known:
                return Window(state=State(), turns=(), turn_count=0)
            state = _state(known[0]["state"], version=known[0]["state_version"])
            order = "ASC" if from_oldest else "DESC"
            found = await rows(
                connection,
                f"{_TURNS} ORDER BY seq {order} LIMIT :limit",
                tenant=tenant,
                session=session,
                after=state.covered_through,
                limit=_LONGEST_WINDOW,
            )
        return Window(
            state=state,
            turns=tuple(map(_turn, found if from_oldest else reversed(found))),
            turn_count=known[0]["turns"],
            incarnation=known[0]["incarnation"],
            log_tokens=known[0]["log_tokens"],
            limit_tokens=known[0]["limit_tokens"],
        )

    async def mark_due(self) -> None:
        """Look at every session once more: the threshold may have been another when it was written."""
        over = IS_OVER.format(window="window_tokens", limit="limit_tokens")
        async with self._database.writing() as connection:
            await counted(
                connection,
                f"UPDATE sessions SET is_due = {over} WHERE is_due <> {over}",
                at=self._at,
            )

    async def claim_due(self, *, limit: int) -> tuple[tuple[str, str], ...]:
        async with self._database.reading() as connection:
            if not await rows(connection, "SELECT 1 AS n FROM sessions WHERE is_due = 1 LIMIT 1"):
                return ()
        lock = "FOR UPDATE SKIP LOCKED" if self._database.is_postgresql else ""
        async with self._database.writing() as connection:
            found = await rows(
                connection,
                f"UPDATE sessions SET claimed_until = {self._now} + :term WHERE (tenant, id) IN ("
                f"SELECT tenant, id FROM sessions WHERE is_due = 1 AND (claimed_until < {self._now} "
                f"OR claimed_until > {self._now} + 2 * :term) ORDER BY claimed_until LIMIT :limit {lock}) "
                "RETURNING tenant, id",
                term=_CLAIM_S,
                limit=limit,
                wall=time.time(),
            )
        return tuple((row["tenant"], row["id"]) for row in found)

    async def publish(
        self, tenant: str, session: str, state: State, *, replaces: Window, state_tokens: int
    ) -> bool:
        wall = time.time()
        async with self._database.writing() as connection:
            swapped = await counted(
                connection,
                "UPDATE sessions SET state_version = :version WHERE tenant = :t AND id = :s "
                "AND state_version = :replaces AND incarnation = :incarnation",
                version=state.version,
                t=tenant,
                s=session,
                replaces=replaces.state.version,
                incarnation=replaces.incarnation,
            )
            if not swapped:
                return False
            await counted(
                connection,
                "INSERT INTO session_states (tenant, session, version, covered_through, tokens, document, "
                "created_at) VALUES (:t, :s, :version, :through, :tokens, :document, :wall) "
                "ON CONFLICT (tenant, session) DO UPDATE SET version = excluded.version, "
                "covered_through = excluded.covered_through, tokens = excluded.tokens, "
                "document = excluded.document, created_at = excluded.created_at",
                t=tenant,
                s=session,
                version=state.version,
                through=state.covered_through,
                tokens=state_tokens,
                document=msgspec.json.encode(state).decode(),
                wall=wall,
            )
            # Counted again from the turns, since some may have come while this state was written.
            left = await connection.scalar(
                text(
                    "SELECT coalesce(sum(tokens), 0) FROM turns "
                    "WHERE tenant = :t AND session = :s AND seq > :through"
                ),
                {"t": tenant, "s": session, "through": state.covered_through},
            )
            over = IS_OVER.format(window=":window", limit="limit_tokens")
            await counted(
                connection,
                f"UPDATE sessions SET window_tokens = :window, is_due = {over}, claimed_until = 0 "
                "WHERE tenant = :t AND id = :s",
                window=int(left or 0) + state_tokens,
                at=self._at,
                t=tenant,
                s=session,
            )
        return True


def _of(lease: Lease) -> dict[str, str]:
    return {"tenant": lease.tenant, "session": lease.session, "holder": lease.holder}


def _turn(row: RowMapping) -> Turn:
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


def _state(document: str | None, *, version: int) -> State:
    """Without a document, nothing is known; but the version goes on from one that was erased."""
    return msgspec.json.decode(document, type=State) if document is not None else State(version=version)


def _unknown(session: str) -> NotFound:
    return NotFound(f"there is no session `{session}`", code="session_not_found")
