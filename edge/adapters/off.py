"""Ports that are switched off: they hold nothing and let everything be forwarded."""

from edge.domain import Candidate, Encoding, Keys, Query, Refused, StoredAnswer, Verdict


class NoExactCache:
    """Keeps nothing."""

    async def get(self, keys: Keys) -> StoredAnswer | None:
        return None

    async def put(self, keys: Keys, answer: StoredAnswer) -> bool:
        return False

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        return 0


class NothingSimilar:
    """A semantic cache, or a knowledge base, without entries."""

    async def nearest(self, query: Query, encoding: Encoding) -> Candidate | None:
        return None


class RefuseAll:
    """A verifier without a model verifies nothing."""

    async def check(self, query: Query, candidate: Candidate) -> Verdict:
        return Refused(reason="no verifier is loaded")
