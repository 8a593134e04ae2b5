"""Frozen values the edge reasons about: queries, encodings, decisions, answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from cloud.wire.answers import Documents, Usage
from cloud.wire.chat import ChatDocument, ChatRequest

Vector = npt.NDArray[np.float32]
"""An embedding, shape (dimensions,)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """What a key may ask for; None where there is no limit."""

    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking, as proven by their key."""

    tenant: str
    key_id: str
    pins: bool = False
    """May choose the route of a request with `Wayside-Route`."""
    quota: Quota | None = None


Pin = Literal["cache", "local", "cloud"]
"""Where a client that may choose wants its answer from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One chat request, authenticated and parsed."""

    principal: Principal
    document: ChatDocument
    deadline: float
    """On the event loop's clock, seconds."""
    passed_on: Mapping[str, str]
    """Headers of the client's that mean the same at every hop."""
    request_id: str
    in_session: bool = False
    """The upstream keeps the conversation: what was said before is not in the request."""
    cache_control: str = ""
    """The client's `Cache-Control`, as it came."""
    pin: Pin | None = None

    @property
    def request(self) -> ChatRequest:
        return self.document.request

    @property
    def text(self) -> str:
        """The last user message: what the request asks for."""
        for message in reversed(self.request.messages):
            if message.role == "user":
                return message.text
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One label with its calibrated probability in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """What the request asks for, best label first."""

    top: tuple[Scored, ...]
    out_of_scope: float
    """Calibrated probability in [0, 1] that no label fits."""

    @property
    def intent(self) -> str:
        return self.top[0].label

    @property
    def confidence(self) -> float:
        return self.top[0].probability


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """Everything one encoder pass says about a text."""

    embedding: Vector
    """Shape (384,), unit norm."""
    classification: Classification
    complexity: float
    """Probability in [0, 1] that a strong model is needed."""
    injection: float
    """Probability in [0, 1] that the text tries to take over the assistant."""
    needs_tools: float = 0.0
    """Probability in [0, 1] that a good answer needs tools or several steps."""
    truncated: bool
    """The text did not fit the window; both of its ends were read."""
    bundle: str
    """Name and content hash of the bundle that produced this: embeddings of two bundles never mix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """A whole answer kept by the edge."""

    id: str
    completion: bytes
    """One `chat.completion` document."""
    created: float
    """When it was answered, Unix seconds."""
    expires: float
    """From when on it must not be used, Unix seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """Where a stored question may be found again: by whom, and in which exact context."""

    tenant: str
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """What a request is stored and found under."""

    entry: str
    """SHA-256 of everything that can change the answer; also the entry's id."""
    scope: Scope

    @property
    def tenant(self) -> str:
        return self.scope.tenant


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A question with its answer, as the semantic cache keeps it."""

    keys: Keys
    question: str
    embedding: Vector
    answer: StoredAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A stored question near the one asked, not yet trusted."""

    question: str
    similarity: float
    """Cosine, in [-1, 1]."""
    answer: StoredAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """One answer serves both questions."""

    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The candidate must not be used."""

    reason: str
    """One of a small, fixed set of words: it labels a metric."""
    probability: float | None = None
    """Where the verifier would have served it, had the error budget not forbidden it."""


Verdict = Verified | Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """A candidate and what the verifier said of it."""

    candidate: Candidate
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Reuse:
    """Send a stored answer again."""

    answer: StoredAnswer
    kind: Literal["exact", "semantic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerLocally:
    """Send the operator's own answer."""

    answer: StoredAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """Ask the upstream."""

    cause: Literal["bypass", "miss", "request", "stale"]
    """The `fwd` parameter of Cache-Status (RFC 9211, section 2.2)."""
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decline:
    """Answer nothing, as the route's setting wants it for such requests."""

    reason: str


Decision = Reuse | AnswerLocally | Forward | Decline


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What goes back to the client."""

    route: str
    """`cache`, `local`, `cloud` or `degraded`."""
    documents: Documents
    headers: Mapping[str, str] = field(default_factory=dict)
    collapsed: bool = False
    """It came from a call that was under way for another request (RFC 9211, section 2.6)."""
    usage: Usage | None = None
    """Of an answer from storage, as first reported; one from the upstream carries its own."""
