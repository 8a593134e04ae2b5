"""Caches in memory, for tests of what stands on them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge.domain import Candidate, Entry, Keys, Scope, StoredAnswer, Vector
from edge.error_budget import Namespace, Sample
from edge.ports import EntryKey


class FakeExactCache:
    """Answers by tenant and entry, on the test's own clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[tuple[str, str], tuple[Keys, StoredAnswer]] = {}

    async def get(self, key: EntryKey) -> StoredAnswer | None:
        _, answer = self._answers.get((key.tenant, key.entry), (None, None))
        return answer if answer is not None and answer.expires > self._clock() else None

    async def put(self, keys: Keys, answer: StoredAnswer) -> bool:
        if answer.expires <= self._clock():
            return False
        self._answers[keys.scope.tenant, keys.entry] = (keys, replace(answer, id=keys.entry))
        return True

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        gone = [
            place
            for place, (keys, _) in self._answers.items()
            if keys.scope.tenant == tenant
            and entry in (None, keys.entry)
            and scope in (None, keys.scope.digest)
        ]
        for place in gone:
            del self._answers[place]
        return len(gone)


class FakeSemanticCache:
    """Entries in a list, compared one by one."""

    def __init__(self, clock: Callable[[], float], *, min_similarity: float) -> None:
        self._clock = clock
        self._min_similarity = min_similarity
        self._entries: list[Entry] = []

    async def nearest(self, scope: Scope, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        found = [
            Candidate(
                question=entry.question, similarity=float(entry.embedding @ embedding), answer=entry.answer
            )
            for entry in self._entries
            if entry.keys.scope == scope and entry.answer.expires > self._clock()
        ]
        near = [candidate for candidate in found if candidate.similarity >= self._min_similarity]
        return tuple(sorted(near, key=lambda candidate: -candidate.similarity)[:limit])

    async def put(self, entry: Entry) -> bool:
        if not np.isfinite(entry.embedding).all() or not entry.embedding.any():
            return False
        if entry.answer.expires <= self._clock():
            return False
        self._entries = [kept for kept in self._entries if kept.keys != entry.keys] + [entry]
        return True

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        kept = [
            one
            for one in self._entries
            if one.keys.scope.tenant != tenant
            or entry not in (None, one.keys.entry)
            or scope not in (None, one.keys.scope.digest)
        ]
        gone, self._entries = len(self._entries) - len(kept), kept
        return gone


class FakeKnowledge:
    """Known questions in a list: tenants (None: all), vector, candidate."""

    def __init__(self, *, min_similarity: float) -> None:
        self._min_similarity = min_similarity
        self.known: list[tuple[frozenset[str] | None, Vector, str, StoredAnswer]] = []

    async def nearest(self, tenant: str, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        near = [
            Candidate(question=question, similarity=float(vector @ embedding), answer=answer)
            for allowed, vector, question, answer in self.known
            if (allowed is None or tenant in allowed) and float(vector @ embedding) >= self._min_similarity
        ]
        return tuple(sorted(near, key=lambda candidate: -candidate.similarity)[:limit])


class Clock:
    """Time that passes when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class KeptSamples:
    """Samples of the error budget in a list."""

    def __init__(self) -> None:
        self.kept: list[tuple[Namespace, Sample]] = []

    async def add(self, namespace: Namespace, sample: Sample) -> None:
        self.kept.append((namespace, sample))
