"""Opens long-term memory: its store, its search, and the background that remembers turns."""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cloud.adapters.database import Database
from cloud.adapters.sql_memories import SqlMemories
from cloud.adapters.sql_memory_subjects import SqlMemorySubjects
from cloud.adapters.sql_sessions import SqlSessions
from cloud.background import keep_running
from cloud.memory.ranker import read_weights
from cloud.memory.remember import Ingest, LongTermMemory
from cloud.settings import CloudSettings
from cloud.wire.service.observe import Log

_SWEEP_S = 60.0
_MOST_WAITING = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedMemory:
    """Long-term memory, opened."""

    store: SqlMemories
    subjects: SqlMemorySubjects
    recall: LongTermMemory
    _waiting: "asyncio.Queue[tuple[str, str]]"

    def wake(self, tenant: str, session: str) -> None:
        """A session has new turns. When too many wait it is remembered after its next turn."""
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait((tenant, session))


async def open_memory(
    settings: CloudSettings, database: Database, log: Log, stack: AsyncExitStack
) -> OpenedMemory:
    store = SqlMemories(database)
    opened = OpenedMemory(
        store=store,
        subjects=SqlMemorySubjects(database),
        recall=LongTermMemory(store, weights=read_weights()),
        _waiting=asyncio.Queue(_MOST_WAITING),
    )
    sessions = SqlSessions(database, lease_s=settings.session_lease_s, compaction_at=settings.compaction_at)
    ingest = Ingest(sessions, store)

    async def remember() -> None:
        while True:
            tenant, session = await opened._waiting.get()
            try:
                await ingest.session(tenant, session)
            except Exception as error:
                # It is found again after the session's next turn.
                log.event("memory_not_kept", error=type(error).__name__)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            if await store.drop_expired():
                await database.scrub()

    for work in (remember(), sweep()):
        keep_running(stack, work)
    return opened
