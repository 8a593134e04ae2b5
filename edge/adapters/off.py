"""Ports that are switched off: they hold nothing and let everything be forwarded."""

from edge.domain import Candidate, Encoding, Query, Refused, StoredAnswer, Verdict


class NoExactCache:
    async def get(self, query: Query) -> StoredAnswer | None:
        return None


class NothingSimilar:
    """A semantic cache, or a knowledge base, without entries."""

    async def nearest(self, query: Query, encoding: Encoding) -> Candidate | None:
        return None


class RefuseAll:
    """A verifier without a model verifies nothing."""

    async def check(self, query: Query, candidate: Candidate) -> Verdict:
        return Refused(reason="no verifier is loaded")
