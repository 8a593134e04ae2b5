"""Caches in memory, for tests of what stands on them."""

from collections.abc import Callable
from dataclasses import replace

from edge.domain import Keys, StoredAnswer


class FakeExactCache:
    """Answers by tenant and entry, on the test's own clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: dict[tuple[str, str], tuple[Keys, StoredAnswer]] = {}

    async def get(self, keys: Keys) -> StoredAnswer | None:
        _, answer = self._answers.get((keys.scope.tenant, keys.entry), (None, None))
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


class Clock:
    """Time that passes when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
