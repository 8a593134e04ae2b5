"""What the edge needs from the outside world, one Protocol a need."""

from typing import Protocol

from edge.domain import Answer, Candidate, Encoding, Keys, Principal, Query, StoredAnswer, Verdict


class Encoder(Protocol):
    """Reads a text once: intent, complexity, injection and embedding from one pass."""

    async def encode(self, text: str) -> Encoding: ...


class ExactCache(Protocol):
    """Answers to requests seen before, to the letter. Losing one is harmless; a wrong one is not."""

    async def get(self, keys: Keys) -> StoredAnswer | None:
        """The answer stored under this entry; whatever is expired, damaged or out of reach is a miss."""
        ...

    async def put(self, keys: Keys, answer: StoredAnswer) -> bool:
        """Keep the answer until it expires; False when it could not be kept."""
        ...

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        """Forget one entry, one scope, or all of the tenant's; how many there were."""
        ...


class SemanticCache(Protocol):
    """Answers to questions that were asked in other words, in the same scope."""

    async def nearest(self, query: Query, encoding: Encoding) -> Candidate | None: ...


class Knowledge(Protocol):
    """The operator's own answers."""

    async def nearest(self, query: Query, encoding: Encoding) -> Candidate | None: ...


class Verifier(Protocol):
    """Whether a candidate's answer serves the query. When in doubt it refuses."""

    async def check(self, query: Query, candidate: Candidate) -> Verdict: ...


class Upstream(Protocol):
    """Who answers what the edge does not."""

    async def forward(self, query: Query) -> Answer:
        """Send the query on and wait for the first document of its answer.

        Raises UpstreamUnavailable, UpstreamRefused, UpstreamBroken or DeadlineExceeded.
        """
        ...

    async def models(self, principal: Principal, request_id: str) -> bytes:
        """The upstream's model list, as its `GET /v1/models` sends it."""
        ...

    async def check(self) -> None:
        """Return when the upstream is ready; raise UpstreamUnavailable when it is not."""
        ...
