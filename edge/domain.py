"""Frozen values the edge reasons about: queries, encodings, decisions, answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from cloud.wire.answers import Documents
from cloud.wire.chat import ChatDocument, ChatRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking, as proven by their key."""

    tenant: str
    key_id: str


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

    embedding: npt.NDArray[np.float32]
    """Shape (384,), unit norm."""
    classification: Classification
    complexity: float
    """Probability in [0, 1] that a strong model is needed."""
    injection: float
    """Probability in [0, 1] that the text tries to take over the assistant."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """The nearest stored question, not yet trusted."""

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


Verdict = Verified | Refused


@dataclass(frozen=True, kw_only=True, slots=True)
class Reuse:
    """Send a stored answer again."""

    answer: StoredAnswer
    kind: str
    """`exact` or `semantic`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerLocally:
    """Send the operator's own answer."""

    answer: StoredAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """Ask the upstream."""

    cause: Literal["bypass", "miss", "stale"]
    """The `fwd` parameter of Cache-Status (RFC 9211, section 2.2)."""
    reason: str


Decision = Reuse | AnswerLocally | Forward


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What goes back to the client."""

    route: str
    """`cache`, `local`, `cloud` or `degraded`."""
    documents: Documents
    headers: Mapping[str, str] = field(default_factory=dict)
    collapsed: bool = False
    """It came from a call that was under way for another request (RFC 9211, section 2.6)."""
