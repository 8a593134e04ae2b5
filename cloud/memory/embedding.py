"""Embeddings of what is remembered: what of it is read, how a vector is kept, who makes them when."""

from typing import Final

import numpy as np

from cloud.memory.lexical import Floats
from cloud.ports import Embedder, MemoryStore, MemoryVectors

BATCH: Final = 64
"""Memories embedded before the next owner has its turn, and lost at most by a kill."""


def read_as(*, speaker: str, text: str) -> str:
    """What of a memory the encoder reads."""
    return f"{speaker}: {text}" if speaker else text


def packed(vector: Floats) -> bytes:
    """A vector's direction, a signed byte a dimension; its length is lost, as all are of length one."""
    largest = float(np.abs(vector).max(initial=0.0)) or 1.0
    return np.round(vector * (127 / largest)).astype(np.int8).tobytes()


def unpacked(kept: bytes, *, dimensions: int) -> Floats | None:
    """The vector again, unit norm; None where that is not a vector of so many dimensions."""
    if len(kept) != dimensions:
        return None
    values = np.frombuffer(kept, dtype=np.int8).astype(np.float32)
    norm = float(np.linalg.norm(values))
    return np.asarray(values / norm, dtype=np.float32) if norm > 0 else None


class Embedding:
    """Gives memories their embeddings, behind the requests that wrote them; may be killed at any point."""

    def __init__(self, store: MemoryStore, vectors: MemoryVectors, embedder: Embedder) -> None:
        self._store = store
        self._vectors = vectors
        self._embedder = embedder

    async def step(self) -> int:
        """A batch for each of some owners that are behind; how many memories were read."""
        done = 0
        for behind in await self._vectors.behind(self._embedder.identity):
            fresh = await self._store.since(
                behind.tenant, behind.scope, behind.owner, seq=behind.through, limit=BATCH
            )
            made = []
            for _, memory in fresh:
                vector = await self._embedder.embed(read_as(speaker=memory.speaker, text=memory.text))
                made.append((memory.id, packed(vector)))
            last = fresh[-1][0] if fresh else 0
            # Fewer than asked for are all there are: what expired unread is behind no longer.
            through = last if len(fresh) == BATCH else max(last, behind.last_seq)
            await self._vectors.put(behind, self._embedder.identity, through=through, vectors=made)
            done += len(made)
        return done
