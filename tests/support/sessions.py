"""The ports SessionStore, SessionWriter and CheckpointStore in one: in memory, and over a database."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cloud.adapters.database import Database
from cloud.adapters.sql_checkpoints import SqlCheckpoints
from cloud.adapters.sql_sessions import SqlSessions
from cloud.domain_sessions import Lease, NewTurn, Session, State, Turn, Window
from cloud.wire.errors import NotFound, SessionConflict


class AllOfSessions(SqlSessions, SqlCheckpoints):
    """Both adapters of one database, for tests that follow a session through both."""

    def __init__(self, database: Database, *, lease_s: float = 15.0, compaction_at: float = 0.7) -> None:
        SqlCheckpoints.__init__(self, database, compaction_at=compaction_at)
        SqlSessions.__init__(self, database, lease_s=lease_s, compaction_at=compaction_at)


@dataclass(kw_only=True)
class _Kept:
    session: Session
    incarnation: str
    turns: list[Turn] = field(default_factory=list)
    tokens: dict[int, int] = field(default_factory=dict)
    state: State = field(default_factory=State)
    state_tokens: int = 0
    limit_tokens: int = 0
    holder: str | None = None
    lease_until: float = 0.0
    claimed_until: float = 0.0


class FakeSessions:
    """As the SQL adapter, in one process, on a clock that tests move."""

    def __init__(
        self, *, lease_s: float = 15.0, compaction_at: float = 0.7, now: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._lease_s = lease_s
        self._at = compaction_at
        self._now = now
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._names = itertools.count()

    async def session(self, tenant: str, session: str) -> Session:
        kept = self._kept.get((tenant, session))
        if kept is None or not kept.turns:
            raise NotFound(f"there is no session `{session}`", code="session_not_found")
        return kept.session

    async def sessions(self, tenant: str, *, limit: int, after: str | None = None) -> tuple[Session, ...]:
        ids = sorted(id for of, id in self._kept if of == tenant and id > (after or ""))
        return tuple(kept.session for id in ids if (kept := self._kept[tenant, id]).turns)[:limit]

    async def turns(
        self, tenant: str, session: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[Turn, ...]:
        kept = self._kept.get((tenant, session))
        return tuple(turn for turn in kept.turns if turn.seq > after)[:limit] if kept else ()

    async def delete(self, tenant: str, session: str) -> None:
        if self._kept.pop((tenant, session), None) is None:
            raise NotFound(f"there is no session `{session}`", code="session_not_found")

    async def take(self, tenant: str, session: str, *, user: str | None) -> Lease | None:
        kept = self._kept.get((tenant, session))
        if kept is None:
            name = str(next(self._names))
            about = Session(
                id=session,
                user=user,
                turns=0,
                sent_tokens=0,
                raw_tokens=0,
                state_version=0,
                created_at=self._now(),
                updated_at=self._now(),
            )
            kept = self._kept[tenant, session] = _Kept(session=about, incarnation=name)
        is_current = self._now() <= kept.lease_until <= self._now() + 2 * self._lease_s
        if kept.holder is not None and is_current:
            return None
        kept.holder = f"holder-{next(self._names)}"
        kept.lease_until = self._now() + self._lease_s
        return Lease(tenant=tenant, session=session, holder=kept.holder)

    async def renew(self, lease: Lease) -> bool:
        kept = self._held(lease)
        if kept is not None:
            kept.lease_until = self._now() + self._lease_s
        return kept is not None

    async def append(
        self,
        lease: Lease,
        turns: Sequence[NewTurn],
        *,
        user: str | None,
        prompt_tokens: int,
        limit_tokens: int,
    ) -> int:
        kept = self._held(lease)
        if kept is None:
            raise SessionConflict("this session was taken over or deleted meanwhile; nothing was kept")
        log = sum(kept.tokens.values())
        for turn in turns:
            seq = len(kept.turns) + 1
            kept.tokens[seq] = turn.tokens
            kept.turns.append(
                Turn(
                    seq=seq,
                    document=turn.document,
                    user=user,
                    model=turn.model,
                    usage=turn.usage,
                    created_at=self._now(),
                )
            )
        kept.session = Session(
            id=kept.session.id,
            user=kept.session.user,
            turns=len(kept.turns),
            sent_tokens=kept.session.sent_tokens + prompt_tokens,
            raw_tokens=kept.session.raw_tokens
            + log
            + sum(turn.tokens for turn in turns if turn.model is None),
            state_version=kept.state.version,
            created_at=kept.session.created_at,
            updated_at=self._now(),
        )
        kept.holder, kept.limit_tokens = None, limit_tokens
        return len(kept.turns)

    async def release(self, lease: Lease) -> None:
        kept = self._held(lease)
        if kept is not None and not kept.turns:
            del self._kept[lease.tenant, lease.session]
        elif kept is not None:
            kept.holder = None

    async def window(self, tenant: str, session: str, *, from_oldest: bool = False) -> Window:
        kept = self._kept.get((tenant, session))
        if kept is None:
            return Window(state=State(), turns=(), turn_count=0)
        return Window(
            state=kept.state,
            turns=tuple(turn for turn in kept.turns if turn.seq > kept.state.covered_through),
            turn_count=len(kept.turns),
            incarnation=kept.incarnation,
            log_tokens=sum(kept.tokens.values()),
            limit_tokens=kept.limit_tokens,
        )

    async def claim_due(self, *, limit: int) -> tuple[tuple[str, str], ...]:
        due = [
            key
            for key, kept in self._kept.items()
            if self._is_due(kept) and kept.claimed_until <= self._now()
        ][:limit]
        for key in due:
            self._kept[key].claimed_until = self._now() + 120
        return tuple(due)

    async def publish(
        self, tenant: str, session: str, state: State, *, replaces: Window, state_tokens: int
    ) -> bool:
        kept = self._kept.get((tenant, session))
        if (
            kept is None
            or kept.state.version != replaces.state.version
            or kept.incarnation != replaces.incarnation
        ):
            return False
        kept.state, kept.state_tokens, kept.claimed_until = state, state_tokens, 0.0
        kept.session = replace(kept.session, state_version=state.version)
        return True

    def _is_due(self, kept: _Kept) -> bool:
        left = sum(cost for seq, cost in kept.tokens.items() if seq > kept.state.covered_through)
        return 0 < kept.limit_tokens * self._at < left + kept.state_tokens

    def _held(self, lease: Lease) -> _Kept | None:
        kept = self._kept.get((lease.tenant, lease.session))
        return kept if kept is not None and kept.holder == lease.holder else None
