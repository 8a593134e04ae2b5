"""The vectors of one scope in memory: an exact scan while they are few, a USearch graph after."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Protocol

import numpy as np
import numpy.typing as npt
from usearch.index import Index

from edge.domain import Vector

KeyArray = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]
Found = list[tuple[int, float]]
"""Keys with their similarity (cosine), most similar first."""

DTYPE = "f16"
"""Pinned: USearch's default depends on the processor, and an index must mean the same everywhere."""
_CONNECTIVITY = 16
_EXPANSION_ADD = 128
_EXPANSION_SEARCH = 64
_DEAD_SHARE = 0.2
_DEAD_ALLOWANCE = 64
_MOST_AT_ONCE = 8
"""Changes that are made up for without leaving the thread: each takes a quarter of a millisecond."""
_RETRY_AFTER = 256
"""Changes until a graph that could not be built is tried again."""
_Change = tuple[int, Vector | None]
"""A key and its vector, or None for one that was removed."""


class Vectors(Protocol):
    """Unit vectors by key."""

    def __len__(self) -> int: ...
    def add(self, key: int, vector: Vector) -> None: ...
    def remove(self, key: int) -> None: ...
    def nearest(self, vector: Vector, limit: int) -> Found: ...


class Scan:
    """All of them looked at, each time: exact, and faster than any index while they are few."""

    def __init__(self, keys: KeyArray, matrix: Matrix) -> None:
        self._keys, self._matrix = keys.copy(), matrix.copy()
        self._count = len(keys)
        self._at = {int(key): row for row, key in enumerate(keys)}

    def __len__(self) -> int:
        return self._count

    def add(self, key: int, vector: Vector) -> None:
        if key in self._at:
            return
        if self._count == len(self._keys):
            grown = max(8, 2 * self._count)
            keys, matrix = np.empty(grown, np.int64), np.empty((grown, len(vector)), np.float32)
            if self._count:
                keys[: self._count], matrix[: self._count] = self._keys, self._matrix
            self._keys, self._matrix = keys, matrix
        self._keys[self._count], self._matrix[self._count] = key, vector
        self._at[key] = self._count
        self._count += 1

    def remove(self, key: int) -> None:
        row = self._at.pop(key, None)
        if row is None:
            return
        self._count -= 1
        if row != self._count:
            # The last one moves into the gap.
            self._keys[row], self._matrix[row] = self._keys[self._count], self._matrix[self._count]
            self._at[int(self._keys[row])] = row

    def nearest(self, vector: Vector, limit: int) -> Found:
        if self._count == 0 or self._matrix.shape[1] != len(vector):
            return []
        similarities = self._matrix[: self._count] @ vector
        rows = np.arange(self._count)
        if limit < self._count:
            rows = np.argpartition(-similarities, limit)[:limit]
        rows = rows[np.argsort(-similarities[rows], kind="stable")]
        return [(int(self._keys[row]), float(similarities[row])) for row in rows]


class Graph:
    """A USearch index. What is removed stays in it as a dead key, until it is built anew.

    USearch's own removal reuses the slots and ruins recall after heavy turnover.
    """

    def __init__(self, index: Index, dead: set[int]) -> None:
        self.index = index
        self._dead = dead

    def __len__(self) -> int:
        return len(self.index) - len(self._dead)

    @property
    def is_worn(self) -> bool:
        """So many are dead that looking around them costs more than building anew."""
        return len(self._dead) > _DEAD_ALLOWANCE + _DEAD_SHARE * len(self)

    def add(self, key: int, vector: Vector) -> None:
        if key not in self.index:
            self.index.add(key, vector, threads=1)

    def take(self, batches: Iterable[tuple[KeyArray, Matrix]]) -> None:
        """Adds those that are not there yet."""
        for keys, matrix in batches:
            fresh = ~np.atleast_1d(np.asarray(self.index.contains(keys), bool)) if len(keys) else keys < 0
            if fresh.any():
                self.index.add(keys[fresh], matrix[fresh], threads=1)

    def remove(self, key: int) -> None:
        if key in self.index:
            self._dead.add(key)

    def nearest(self, vector: Vector, limit: int) -> Found:
        if len(vector) != self.index.ndim:
            return []
        wanted = limit + min(len(self._dead), 4 * limit)
        while True:
            matches = self.index.search(vector, min(wanted, len(self.index)), threads=1)
            keys, distances = np.atleast_1d(matches.keys), np.atleast_1d(matches.distances)
            found = [
                (int(key), 1.0 - float(distance))
                for key, distance in zip(keys, distances, strict=True)
                if int(key) not in self._dead
            ]
            if len(found) >= min(limit, len(self)) or wanted >= len(self.index):
                return found[:limit]
            wanted *= 4


def keys_in(index: Index) -> KeyArray:
    """All keys at once. Iterated over, USearch looks for each from the start: minutes for 100,000."""
    return np.asarray(index.keys, np.int64)


def empty_index(dimensions: int) -> Index:
    return Index(
        ndim=dimensions,
        metric="ip",
        dtype=DTYPE,
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION_ADD,
        expansion_search=_EXPANSION_SEARCH,
    )


def build_graph(batches: Iterable[tuple[KeyArray, Matrix]], *, dimensions: int) -> Graph:
    """A fresh graph over unit vectors. Takes about a second for ten thousand."""
    graph = Graph(empty_index(dimensions), set())
    graph.take(batches)
    return graph


class Partition:
    """One scope's vectors, in whichever form suits their number. For one thread, which is never kept waiting.

    A graph is built on the side, from the rows, while the old form goes on answering. What changes
    meanwhile is made up for on the side as well, until so little is left that it can be done at once.
    """

    def __init__(
        self,
        vectors: Vectors | None,
        *,
        exact_limit: int,
        builder: Executor,
        rebuild: Callable[[], Graph | None],
    ) -> None:
        """`rebuild` makes a graph of what is stored now, or None where that cannot be read.

        Without `vectors` nothing is found before the first graph is built: they are too many to be scanned.
        """
        self._is_whole = vectors is not None
        self._vectors: Vectors = (
            vectors if vectors is not None else Scan(np.empty(0, np.int64), np.empty((0, 0), np.float32))
        )
        self._exact_limit = exact_limit
        self._builder = builder
        self._rebuild = rebuild
        self._building: Future[Graph | None] | None = None
        self._missed: list[_Change] = []
        self._changes_until_retry = 0
        self._go_on_building()

    @property
    def graph(self) -> Graph | None:
        return self._vectors if isinstance(self._vectors, Graph) else None

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, key: int, vector: Vector) -> None:
        """A key that is there already stays as it is."""
        self._change(key, vector)

    def remove(self, key: int) -> None:
        self._change(key, None)

    def nearest(self, vector: Vector, limit: int) -> Found:
        self._go_on_building()
        return self._vectors.nearest(vector, limit)

    async def settle(self) -> None:
        """Wait for a graph that is being built."""
        while self._building is not None:
            await asyncio.wrap_future(self._building)
            self._go_on_building()

    def _change(self, key: int, vector: Vector | None) -> None:
        _make_up_for(self._vectors, [(key, vector)])
        if self._building is not None:
            self._missed.append((key, vector))
        self._changes_until_retry -= 1
        self._go_on_building()

    def _go_on_building(self) -> None:
        if self._building is None:
            graph = self.graph
            is_due = graph.is_worn if graph is not None else len(self._vectors) > self._exact_limit
            if (is_due or not self._is_whole) and self._changes_until_retry <= 0:
                self._missed = []
                self._building = self._builder.submit(self._rebuild)
        elif self._building.done():
            fresh = self._building.result()
            missed, self._missed = self._missed, []
            if fresh is None:
                self._building = None
                self._changes_until_retry = _RETRY_AFTER
            elif len(missed) > _MOST_AT_ONCE:
                self._building = self._builder.submit(_caught_up, fresh, missed)
            else:
                _make_up_for(fresh, missed)
                self._vectors, self._building, self._is_whole = fresh, None, True


def _caught_up(graph: Graph, missed: list[_Change]) -> Graph:
    _make_up_for(graph, missed)
    return graph


def _make_up_for(vectors: Vectors, changes: list[_Change]) -> None:
    for key, vector in changes:
        if vector is None:
            vectors.remove(key)
        else:
            vectors.add(key, vector)
