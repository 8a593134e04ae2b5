"""The semantic cache: entries in SQLite, their vectors in memory, one partition a scope."""

import asyncio
import hashlib
import os
import sqlite3
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from edge.adapters.index_file import delete_index, load_index, save_index
from edge.adapters.partition import Graph, Partition, Scan, keys_in
from edge.adapters.semantic_rows import Gone, SemanticRows, delete_database
from edge.adapters.write_groups import WriteGroups
from edge.domain import Candidate, Entry, Scope, Vector

_MOST_PARTITIONS = 4096
"""Scopes whose vectors are held in memory; the least recently used is read again when it is asked for."""
_LOOK_FURTHER = 4
"""Candidates fetched for each one wanted, since some may be expired."""
_NICEST = 19
"""Linux keeps a priority for each thread (sched(7))."""
_SWEEP_EVERY = 256
_SWEEP_MOST = 4096

Result = TypeVar("Result")


class UsearchSemantic:
    """One folder, one process. Everything happens on one thread of its own, off the event loop."""

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
        self._quota = entries_per_tenant
        self._exact_limit = exact_limit
        self._clock = clock
        self._rows = SemanticRows(folder / "entries.db")
        self._partitions: OrderedDict[Scope, Partition] = OrderedDict()
        self._counts: dict[str, int] = {}
        self._used: dict[int, float] = {}
        self._puts = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="semantic-cache")
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="semantic-index", initializer=_step_back)
        self._writes = WriteGroups(self._worker, self._guarded_put)

    async def nearest(self, scope: Scope, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        return await self._run(lambda: self._nearest(scope, embedding, limit), otherwise=())

    async def put(self, entry: Entry) -> bool:
        return await self._writes.put(entry)

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        await self._writes.settled()  # or what is dropped would be stored right after

        def work() -> int:
            return self._gone(self._rows.drop(tenant, entry=entry, scope=scope))

        return await self._run(work, otherwise=0)

    async def aclose(self) -> None:
        """Saves the indexes, so that the next start need not build them."""
        await self._writes.settled()
        await self._run(self._save, otherwise=None)
        await asyncio.to_thread(self._worker.shutdown)
        await asyncio.to_thread(self._builder.shutdown)
        self._rows.close()

    async def settle(self) -> None:
        """Return when no index is being built."""

        def work() -> None:
            for partition in self._partitions.values():
                partition.settle()

        await self._run(work, otherwise=None)

    async def _run(self, work: Callable[[], Result], *, otherwise: Result) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._guarded, work, otherwise)

    def _guarded(self, work: Callable[[], Result], otherwise: Result) -> Result:
        try:
            return work()
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            self._after(error)
            return otherwise

    def _guarded_put(self, entries: list[Entry]) -> list[bool]:
        return self._guarded(lambda: self._put(entries), [False] * len(entries))

    def _nearest(self, scope: Scope, embedding: Vector, limit: int) -> tuple[Candidate, ...]:
        vector = unit(embedding)
        if vector is None:
            return ()
        partition = self._partition(scope, len(vector))
        now = self._clock()
        candidates: list[Candidate] = []
        for key, similarity in partition.nearest(vector, limit * _LOOK_FURTHER):
            if similarity < self._min_similarity or len(candidates) == limit:
                break
            row = self._rows.read(key)
            if row is None or row.entry.keys.scope != scope:
                partition.remove(key)
                self._rows.forget(key)
            elif row.entry.answer.expires > now:
                self._used[key] = now
                candidates.append(
                    Candidate(question=row.entry.question, similarity=similarity, answer=row.entry.answer)
                )
        return tuple(candidates)

    def _put(self, entries: list[Entry]) -> list[bool]:
        """Which were kept. One transaction for all of them."""
        now = self._clock()
        kept: list[tuple[Entry, Partition]] = []
        outcomes = []
        for entry in entries:
            vector = unit(entry.embedding)
            is_kept = vector is not None and entry.answer.expires > now
            outcomes.append(is_kept)
            if vector is not None and is_kept:
                partition = self._partition(entry.keys.scope, len(vector))
                kept.append((replace(entry, embedding=vector), partition))
        if not kept:
            return outcomes
        self._make_room(Counter(entry.keys.scope.tenant for entry, _ in kept), now)
        added = self._rows.add([entry for entry, _ in kept], now=now)
        for (entry, partition), (key, old) in zip(kept, added, strict=True):
            partition.add(key, entry.embedding)
            self._counts[entry.keys.scope.tenant] += 1
            self._gone(old)
        return outcomes

    def _make_room(self, coming: Counter[str], now: float) -> None:
        """For so many entries of each tenant."""
        if self._used:
            self._rows.touch(self._used.items())
            self._used.clear()
        self._puts += coming.total()
        if self._puts >= _SWEEP_EVERY:
            self._puts = 0
            self._gone(self._rows.drop_expired(now=now, most=_SWEEP_MOST))
        for tenant, count in coming.items():
            if tenant not in self._counts:
                self._counts[tenant] = self._rows.count(tenant)
            over = self._counts[tenant] + count - self._quota
            if over > 0:
                # A hundredth at once: sorting by use for every single entry would be waste.
                self._gone(self._rows.drop_least_used(tenant, most=over + self._quota // 100))

    def _gone(self, gone: Gone) -> int:
        for key, scope in gone:
            self._used.pop(key, None)
            if scope.tenant in self._counts:
                self._counts[scope.tenant] -= 1
            if (partition := self._partitions.get(scope)) is not None:
                partition.remove(key)
        return len(gone)

    def _partition(self, scope: Scope, dimensions: int) -> Partition:
        partition = self._partitions.get(scope)
        if partition is None:
            partition = self._partitions[scope] = self._loaded(scope, dimensions)
            if len(self._partitions) > _MOST_PARTITIONS:
                self._partitions.popitem(last=False)
        self._partitions.move_to_end(scope)
        return partition

    def _loaded(self, scope: Scope, dimensions: int) -> Partition:
        keys, matrix = self._rows.vectors(scope, dimensions=dimensions, now=self._clock())
        if len(keys) > self._exact_limit:
            index = load_index(self._index_path(scope), origin=self._rows.identity)
            if index is not None and index.ndim == dimensions:
                indexed = set(keys_in(index).tolist())
                graph = Graph(index, indexed.difference(map(int, keys)))
                for key, vector in zip(keys, matrix, strict=True):
                    if int(key) not in indexed:
                        graph.add(int(key), vector)
                return Partition(graph, exact_limit=self._exact_limit, builder=self._builder)
        return Partition(Scan(keys, matrix), exact_limit=self._exact_limit, builder=self._builder)

    def _save(self) -> None:
        if self._used:
            self._rows.touch(self._used.items())
        for scope, partition in self._partitions.items():
            if partition.graph is not None:
                save_index(partition.graph.index, self._index_path(scope), origin=self._rows.identity)
            else:
                delete_index(self._index_path(scope))

    def _index_path(self, scope: Scope) -> Path:
        name = hashlib.sha256(f"{scope.tenant}/{scope.digest}".encode()).hexdigest()[:32]
        return self._folder / "index" / f"{name}.usearch"

    def _after(self, error: Exception) -> None:
        """Start anew when the database is damaged. A full disk or a busy one passes by itself."""
        if isinstance(error, UnicodeDecodeError) or (
            isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        ):
            self._rows.close()
            with suppress(sqlite3.Error, OSError, UnicodeDecodeError):  # tried again by the next request
                delete_database(self._rows.path)
                self._rows = SemanticRows(self._rows.path)
            self._partitions.clear()
            self._counts.clear()
            self._used.clear()


def _step_back() -> None:
    """Builds with the time nobody else wants: a graph takes a second or more of a core, and can wait."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICEST)


def unit(vector: Vector) -> Vector | None:
    """The vector at unit norm, or None for one that has no direction."""
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm < 1e-6:
        return None
    return np.asarray(vector / norm, np.float32)
