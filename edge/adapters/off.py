"""Ports that are switched off: they hold nothing and let everything be forwarded."""

from edge.domain import Candidate, Entry, Keys, Scope, StoredAnswer, Vector
from edge.ports import EntryKey


class NoExactCache:
    """Keeps nothing."""

    async def get(self, key: EntryKey) -> StoredAnswer | None:
        return None

    async def put(self, keys: Keys, answer: StoredAnswer) -> bool:
        return False

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        return 0


class NoSemanticCache:
    """Keeps nothing, so finds nothing similar."""

    async def nearest(self, scope: Scope, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        return ()

    async def put(self, entry: Entry) -> bool:
        return False

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        return 0


class NoKnowledge:
    """Knows nothing."""

    async def nearest(self, tenant: str, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        return ()
