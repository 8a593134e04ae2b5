"""Checkpoints in the database: state objects, and which sessions are due for one."""

import time

import msgspec
from sqlalchemy import text

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.adapters.sql_session_rows import IS_OVER, TURNS, now_of, turn_of
from cloud.domain_sessions import EXTRACTIVE, Author, State, Window

_LONGEST_WINDOW = 1000
"""Turns read for one prompt: more than any budget holds, should compaction be far behind."""

_CLAIM_S = 120.0
"""How long a session that somebody folds is left alone by others."""


class SqlCheckpoints:
    """The port CheckpointStore over one database."""

    def __init__(self, database: Database, *, compaction_at: float) -> None:
        self._database = database
        self._at = compaction_at
        self._now = now_of(is_postgresql=database.is_postgresql)

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
                f"{TURNS} ORDER BY seq {order} LIMIT :limit",
                tenant=tenant,
                session=session,
                after=state.covered_through,
                limit=_LONGEST_WINDOW,
            )
        return Window(
            state=state,
            turns=tuple(map(turn_of, found if from_oldest else reversed(found))),
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


class _Before(msgspec.Struct, frozen=True):
    """A document as it was kept before its author had fields."""

    summarizer: str = ""
    """`extractive`, or the model's name."""


def _state(document: str | None, *, version: int) -> State:
    """Without a document, nothing is known; but the version goes on from one that was erased."""
    if document is None:
        return State(version=version)
    state = msgspec.json.decode(document, type=State)
    if state.written_by is not None:
        return state
    name = msgspec.json.decode(document, type=_Before).summarizer
    author = EXTRACTIVE if name == EXTRACTIVE.by else Author(by="provider", model=name or None)
    return msgspec.structs.replace(state, written_by=author)
