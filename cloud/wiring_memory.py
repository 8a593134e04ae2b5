"""Opens long-term memory: its store, its search, and the background that remembers turns."""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cloud.adapters.database import Database
from cloud.adapters.onnx_embedder import OnnxEmbedder
from cloud.adapters.sql_memories import SqlMemories
from cloud.adapters.sql_memory_subjects import SqlMemorySubjects
from cloud.adapters.sql_memory_vectors import SqlMemoryVectors
from cloud.adapters.sql_sessions import SqlSessions
from cloud.background import keep_running
from cloud.memory.embedding import Embedding
from cloud.memory.ranker import read_weights
from cloud.memory.remember import Ingest, LongTermMemory
from cloud.settings import CloudSettings
from cloud.wire.service.observe import Log

_SWEEP_S = 60.0
_MOST_WAITING = 10_000
_EMBED_POLL_S = 5.0
_DROP_OTHERS_S = 3600.0


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
    has_new = asyncio.Event()
    store, vectors = SqlMemories(database, on_change=has_new.set), SqlMemoryVectors(database)
    embedder: OnnxEmbedder | None = None
    if settings.memory_search == "hybrid":
        embedder = await OnnxEmbedder.open(settings.memory_bundle_path)
        stack.callback(embedder.close)
    recall = LongTermMemory(store, weights=read_weights(), vectors=vectors, embedder=embedder)
    opened = OpenedMemory(
        store=store,
        subjects=SqlMemorySubjects(database, after_erasure=recall.let_go),
        recall=recall,
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
            try:
                if await store.drop_expired():
                    await database.scrub()
                # What other processes erased, and what a search here has only hidden.
                await recall.let_go()
            except Exception as error:  # tried again in a minute
                log.event("memories_not_swept", error=type(error).__name__)

    for work in (remember(), sweep()):
        keep_running(stack, work)
    if embedder is not None:
        keep_running(stack, _embed(Embedding(store, vectors, embedder), has_new, log))
        keep_running(stack, _drop_vectors_of_others(vectors, embedder.identity, log))
    return opened


async def _embed(embedding: Embedding, has_new: asyncio.Event, log: Log) -> None:
    while True:
        has_new.clear()
        try:
            done = await embedding.step()
        except Exception as error:
            # What was not read is still behind, and is found again.
            log.event("memories_not_embedded", error=type(error).__name__)
            done = 0
        if not done:
            # Whatever other processes write, and what failed, is found without being told.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(has_new.wait(), _EMBED_POLL_S)


async def _drop_vectors_of_others(vectors: SqlMemoryVectors, bundle: str, log: Log) -> None:
    """Once whatever bundle came before has had an hour to leave with its processes."""
    while True:
        await asyncio.sleep(_DROP_OTHERS_S)
        try:
            if not await vectors.behind(bundle):
                await vectors.drop_others(bundle)
        except Exception as error:
            log.event("vectors_not_dropped", error=type(error).__name__)
