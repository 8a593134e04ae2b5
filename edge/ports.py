"""What the edge needs from the outside world, one Protocol a need."""

from typing import Protocol

from edge.domain import (
    Answer,
    Candidate,
    Encoding,
    Entry,
    Keys,
    Principal,
    Query,
    Scope,
    StoredAnswer,
    Vector,
    Verdict,
)
from edge.error_budget import Namespace, Sample


class Encoder(Protocol):
    """Reads a text once: intent, complexity, injection and embedding from one pass."""

    @property
    def identity(self) -> str:
        """What `Encoding.bundle` will say: name and content hash of the loaded bundle."""
        ...

    async def encode(self, text: str) -> Encoding: ...


class EntryKey(Protocol):
    """Where the answer to one request lies; all that looking for it takes of a request's keys."""

    @property
    def tenant(self) -> str: ...

    @property
    def entry(self) -> str: ...


class ExactCache(Protocol):
    """Answers to requests seen before, to the letter. Losing one is harmless; a wrong one is not."""

    async def get(self, key: EntryKey) -> StoredAnswer | None:
        """The answer stored under this entry; whatever is expired, damaged or out of reach is a miss."""
        ...

    async def put(self, keys: Keys, answer: StoredAnswer) -> bool:
        """Keep the answer until it expires; False when it could not be kept."""
        ...

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        """Forget one entry, one scope, or all of the tenant's; how many there were."""
        ...


class SemanticCache(Protocol):
    """Answers to questions that were asked in other words, in the same scope.

    Embeddings have unit norm. Losing an entry is harmless; one from another scope is not.
    """

    async def nearest(self, scope: Scope, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        """At most `limit` candidates of the scope that are similar enough to look at, nearest first."""
        ...

    async def put(self, entry: Entry) -> bool:
        """Keep the entry until its answer expires; True once a crash cannot lose it any more."""
        ...

    async def drop(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        """Forget one entry, one scope, or all of the tenant's; how many there were."""
        ...


class Knowledge(Protocol):
    """The operator's own answers."""

    async def nearest(self, tenant: str, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        """At most `limit` known questions that the tenant may be answered from, nearest first."""
        ...


class Verifier(Protocol):
    """Whether one answer serves both questions. When in doubt it refuses."""

    async def check(self, question: str, candidate: Candidate) -> Verdict: ...


class PairScorer(Protocol):
    """Reads two questions together."""

    async def probability(self, first: str, second: str, similarity: float) -> float:
        """Calibrated probability in [0, 1] that one answer serves both; `similarity` is their cosine."""
        ...


class Samples(Protocol):
    """What was seen of would-be hits, kept for the next start."""

    async def add(self, namespace: Namespace, sample: Sample) -> None: ...


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
