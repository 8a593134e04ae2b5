"""The vectors of one scope in memory: an exact scan while they are few, a USearch graph after."""

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
_CONNECTIVITY = 32
_EXPANSION_ADD = 128
_EXPANSION_SEARCH = 128
_DEAD_SHARE = 0.2
_DEAD_ALLOWANCE = 64


class Vectors(Protocol):
    """Unit vectors by key."""

    def __len__(self) -> int: ...
    def add(self, key: int, vector: Vector) -> None: ...
    def remove(self, key: int) -> None: ...
    def nearest(self, vector: Vector, limit: int) -> Found: ...
    def alive(self) -> tuple[KeyArray, Matrix]: ...


class Scan:
    """All of them looked at, each time: exact, and faster than any index while they are few."""

    def __init__(self, keys: KeyArray, matrix: Matrix) -> None:
        self._keys, self._matrix = keys.copy(), matrix.copy()
        self._count = len(keys)
        self._at = {int(key): row for row, key in enumerate(keys)}

    def __len__(self) -> int:
        return self._count

    def add(self, key: int, vector: Vector) -> None:
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

    def alive(self) -> tuple[KeyArray, Matrix]:
        return self._keys[: self._count].copy(), self._matrix[: self._count].copy()


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
        self.index.add(key, vector, threads=1)

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

    def alive(self) -> tuple[KeyArray, Matrix]:
        keys = keys_in(self.index)
        if self._dead:
            keys = keys[~np.isin(keys, np.fromiter(self._dead, np.int64))]
        if not len(keys):
            return keys, np.empty((0, self.index.ndim), np.float32)
        return keys, np.asarray(self.index.get(keys, dtype="f32"), np.float32)


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


def build_graph(keys: KeyArray, matrix: Matrix) -> Graph:
    """A fresh graph over unit vectors. Takes about a second for ten thousand."""
    index = empty_index(matrix.shape[1])
    index.add(keys, matrix, threads=1)
    return Graph(index, set())


class Partition:
    """One scope's vectors, in whichever form suits their number. For one thread at a time.

    A graph is built on the side, while the old form goes on answering; what changes meanwhile is
    made up for when it takes over.
    """

    def __init__(self, vectors: Vectors, *, exact_limit: int, builder: Executor) -> None:
        self._vectors = vectors
        self._exact_limit = exact_limit
        self._builder = builder
        self._building: Future[Graph] | None = None
        self._missed: list[tuple[int, Vector | None]] = []
        self._consider_building()

    @property
    def graph(self) -> Graph | None:
        return self._vectors if isinstance(self._vectors, Graph) else None

    def __len__(self) -> int:
        return len(self._vectors)

    def add(self, key: int, vector: Vector) -> None:
        self._take_over()
        self._vectors.add(key, vector)
        if self._building is not None:
            self._missed.append((key, vector))
        self._consider_building()

    def remove(self, key: int) -> None:
        self._take_over()
        self._vectors.remove(key)
        if self._building is not None:
            self._missed.append((key, None))
        self._consider_building()

    def nearest(self, vector: Vector, limit: int) -> Found:
        self._take_over()
        return self._vectors.nearest(vector, limit)

    def settle(self) -> None:
        """Wait for a graph that is being built."""
        while self._building is not None:
            self._building.result()
            self._take_over()
            self._consider_building()

    def _consider_building(self) -> None:
        if self._building is not None:
            return
        graph = self.graph
        if graph.is_worn if graph is not None else len(self._vectors) > self._exact_limit:
            self._missed = []
            self._building = self._builder.submit(build_graph, *self._vectors.alive())

    def _take_over(self) -> None:
        if self._building is None or not self._building.done():
            return
        fresh = self._building.result()
        for key, vector in self._missed:
            if vector is None:
                fresh.remove(key)
            else:
                fresh.add(key, vector)
        self._vectors, self._building, self._missed = fresh, None, []
