"""The semantic cache: entries in SQLite, their vectors in memory, one partition a scope."""

import asyncio
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from edge.adapters.index_file import delete_index, load_index, save_index
from edge.adapters.partition import Graph, Partition, Scan, Vectors, build_graph, keys_in
from edge.adapters.semantic_rows import Gone
from edge.adapters.semantic_store import STORE_ERRORS, SemanticStore
from edge.adapters.write_groups import WriteGroups
from edge.domain import Candidate, Entry, Scope, Vector

_MOST_PARTITIONS = 4096
"""Scopes whose vectors are held in memory; the least recently used is read again when it is asked for."""
_LOOK_FURTHER = 4
"""Candidates fetched for each one wanted, since some may be expired."""
_MOST_SCANNED = 16_384
"""Vectors that may be scanned on the event loop while their graph is built: half a millisecond's worth."""
_NICEST = 19
"""Linux keeps a priority for each thread (sched(7))."""

Result = TypeVar("Result")


class UsearchSemantic:
    """One folder, one process.

    Looking up happens on the event loop: some hundred microseconds, which is less than a hop to a thread
    costs a busy process. What writes, or reads a whole scope, happens on a thread of its own; the vectors
    follow when it is done.
    """

    def __init__(
        self,
        folder: Path,
        *,
        min_similarity: float,
        entries_per_tenant: int,
        exact_limit: int = 4096,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises OSError or sqlite3.Error when the folder cannot be used at all."""
        self._folder = folder
        self._min_similarity = min_similarity
        self._exact_limit = exact_limit
        self._clock = clock
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="semantic-cache")
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="semantic-index", initializer=_step_back)
        self._store = SemanticStore(folder / "entries.db", entries_per_tenant=entries_per_tenant, clock=clock)
        self._writes = WriteGroups(self._worker, self._store.put)
        self._reader = self._store.reader()
        self._identity = self._store.identity
        self._partitions: OrderedDict[Scope, Partition] = OrderedDict()
        self._loading: dict[Scope, asyncio.Task[Partition | None]] = {}

    async def nearest(self, scope: Scope, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        vector = unit(embedding)
        if vector is None:
            return ()
        partition = self._partitions.get(scope) or await self._loaded(scope, len(vector))
        if partition is None:
            return ()
        self._partitions[scope] = partition
        self._partitions.move_to_end(scope)
        try:
            return self._candidates(partition, scope, vector, limit)
        except STORE_ERRORS as error:
            await self._run(partial(self._store.recover, error))
            return ()

    def _candidates(
        self, partition: Partition, scope: Scope, vector: Vector, limit: int
    ) -> tuple[Candidate, ...]:
        now = self._clock()
        candidates: list[Candidate] = []
        for key, similarity in partition.nearest(vector, limit * _LOOK_FURTHER):
            if similarity < self._min_similarity or len(candidates) == limit:
                break
            row = self._reader.read(key)
            if row is None or row.entry.keys.scope != scope:
                partition.remove(key)
                self._worker.submit(self._store.forget, key)
            elif row.entry.answer.expires > now:
                self._store.used.append((key, now))
                candidates.append(
                    Candidate(question=row.entry.question, similarity=similarity, answer=row.entry.answer)
                )
        return tuple(candidates)

    async def put(self, entry: Entry) -> bool:
        vector = unit(entry.embedding)
        if vector is None:
            return False
        kept = await self._writes.put(replace(entry, embedding=vector))
        self._keep_up()
        self._follow(kept.gone)
        if kept.key is None:
            return False
        # A scope that nobody has looked in yet is read whole, this entry included, when somebody does.
        if (partition := self._partitions.get(entry.keys.scope)) is not None:
            partition.add(kept.key, vector)
        return True

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        await self._writes.settled()  # or what is dropped would be stored right after
        gone = await self._run(lambda: self._store.drop(tenant, entry=entry, scope=scope))
        self._follow(gone)
        return len(gone)

    async def aclose(self) -> None:
        """Saves the indexes, so that the next start need not build them."""
        await self._writes.settled()
        await self._run(self._save)
        await asyncio.to_thread(self._worker.shutdown)
        await asyncio.to_thread(self._builder.shutdown)
        self._reader.close()
        self._store.close()

    async def settle(self) -> None:
        """Return when no index is being built."""
        for partition in tuple(self._partitions.values()):
            await partition.settle()

    async def _run(self, work: Callable[[], Result]) -> Result:
        """On the worker."""
        result = await asyncio.get_running_loop().run_in_executor(self._worker, work)
        self._keep_up()
        return result

    def _keep_up(self) -> None:
        """When the store had to start anew, let go what was read from the old file."""
        if self._store.identity != self._identity:
            self._partitions.clear()
            self._reader.close()
            self._reader = self._store.reader()
            self._identity = self._store.identity

    def _follow(self, gone: Gone) -> None:
        """Let the vectors go whose rows are gone."""
        for key, scope in gone:
            if (partition := self._partitions.get(scope)) is not None:
                partition.remove(key)

    async def _loaded(self, scope: Scope, dimensions: int) -> Partition | None:
        """The scope's vectors, read once for all who ask at the same time."""
        task = self._loading.get(scope)
        if task is None:
            task = self._loading[scope] = asyncio.create_task(self._load(scope, dimensions))
            task.add_done_callback(lambda _: self._loading.pop(scope))
        return await asyncio.shield(task)

    async def _load(self, scope: Scope, dimensions: int) -> Partition | None:
        try:
            vectors = await self._run(lambda: self._read(scope, dimensions))
        except STORE_ERRORS as error:
            await self._run(partial(self._store.recover, error))
            return None
        partition = self._partitions[scope] = Partition(
            vectors,
            exact_limit=self._exact_limit,
            builder=self._builder,
            rebuild=lambda: self._rebuilt(scope, dimensions),
        )
        if len(self._partitions) > _MOST_PARTITIONS:
            self._partitions.popitem(last=False)
        return partition

    def _read(self, scope: Scope, dimensions: int) -> Vectors | None:
        """From the saved index, where it is of these rows, or from the rows; None when those are too many."""
        now = self._clock()
        with closing(self._store.reader()) as reader:
            keys = set(reader.keys(scope, now=now).tolist())
            if len(keys) > self._exact_limit:
                index = load_index(self._index_path(scope), origin=self._store.identity)
                if index is not None and index.ndim == dimensions:
                    indexed = set(keys_in(index).tolist())
                    graph = Graph(index, indexed - keys)
                    if keys - indexed:
                        graph.take(reader.vectors(scope, dimensions=dimensions, now=now))
                    return graph
            if len(keys) > _MOST_SCANNED:
                return None
            scan = Scan(np.empty(0, np.int64), np.empty((0, dimensions), np.float32))
            for some, matrix in reader.vectors(scope, dimensions=dimensions, now=now):
                for key, vector in zip(some.tolist(), matrix, strict=True):
                    scan.add(key, vector)
            return scan

    def _rebuilt(self, scope: Scope, dimensions: int) -> Graph | None:
        """On the builder's thread: a few thousand vectors at a time, since they are many."""
        try:
            with closing(self._store.reader()) as reader:
                return build_graph(
                    reader.vectors(scope, dimensions=dimensions, now=self._clock()), dimensions=dimensions
                )
        except STORE_ERRORS:
            return None  # whoever reads or writes next finds out, and sees to it

    def _save(self) -> None:
        self._store.note_used()
        for scope, partition in self._partitions.items():
            with suppress(OSError):
                if partition.graph is not None:
                    save_index(partition.graph.index, self._index_path(scope), origin=self._store.identity)
                else:
                    delete_index(self._index_path(scope))

    def _index_path(self, scope: Scope) -> Path:
        name = hashlib.sha256(f"{scope.tenant}/{scope.digest}".encode()).hexdigest()[:32]
        return self._folder / "index" / f"{name}.usearch"


def _step_back() -> None:
    """Builds with the time nobody else wants: a graph takes a second or more of a core, and can wait."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICEST)


def unit(vector: Vector) -> Vector | None:
    """The vector at unit norm, or None for one that has no direction."""
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm < 1e-6:
        return None
    return np.asarray(vector / norm, np.float32)
