"""Frozen values the cloud reasons about: models, calls, answers, tools, recalled episodes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cloud.wire.answers import Documents, Usage
from cloud.wire.chat import ChatDocument, ChatRequest

Tier = Literal["small", "standard", "strong"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking, as proven by their key."""

    tenant: str
    is_edge: bool
    """Only an edge is believed about what stands in Wayside's semantic headers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """What a model's tokens cost, in US dollars a million."""

    input_usd: float = 0.0
    output_usd: float = 0.0

    def of(self, usage: Usage) -> float:
        """US dollars."""
        return (usage.prompt_tokens * self.input_usd + usage.completion_tokens * self.output_usd) / 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One entry of the catalog: a name callers use, and who answers to it."""

    name: str
    provider: str
    upstream_name: str
    """What the provider calls it."""
    tier: Tier = "standard"
    price: Price = field(default_factory=Price)
    context_tokens: int | None = None
    """Prompt and answer together; None where the operator did not say."""
    uses_tools: bool = True
    """It can be told of tools and call them."""
    fallbacks: tuple[str, ...] = ()
    """Models that answer in its place when it cannot, in order."""
    takes_prefill: bool = False
    """It goes on from a last assistant message, so it can finish an answer that another began."""
    buffered: bool = False
    """Its streams are held back until they are whole, so that every fault can be hidden."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request to one model, ready for its provider."""

    document: ChatDocument
    model: Model
    deadline: float
    """On the event loop's clock, seconds."""
    tenant: str
    session: str | None = None
    """The conversation this belongs to, as the caller names it."""
    request_id: str
    idempotency_key: str | None = None
    agent: str | None = None
    """Who calls: on the way in, the agent an edge asked for; inside a run, the agent whose step this is."""
    intent: str | None = None
    """What the edge read in the request."""
    tier: Tier | None = None
    """The strength the edge asked for; with the model `auto` it chooses among the catalog's."""
    run: str | None = None
    """The durable run this is a step of; on the way in, the id that a run of it must have."""
    is_background: bool = False
    """The caller asked not to be kept waiting (RFC 7240, `respond-async`)."""
    trace_headers: Mapping[str, str] = field(default_factory=dict)
    """W3C headers that continue the request's trace at the provider."""

    @property
    def request(self) -> ChatRequest:
        return self.document.request

    @property
    def user(self) -> str | None:
        """The tenant's own name for the person behind the request (OpenAI's field `user`)."""
        return self.document.request.user

    def remaining_s(self) -> float:
        """Seconds left before the caller stops waiting; never negative."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What goes back to the caller."""

    documents: Documents
    headers: Mapping[str, str] = field(default_factory=dict)
    """Response headers, names in lower case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolSpec:
    """What a model is told of a tool."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments, an object."""
    has_side_effects: bool = False
    """It changes something outside: it runs once a step, under the step's idempotency key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolContext:
    """On whose behalf a tool runs, and how long it may take."""

    tenant: str
    agent: str
    deadline: float
    """On the event loop's clock, seconds."""
    idempotency_key: str
    """The same for every attempt at the same step."""
    user: str | None = None
    session: str | None = None
    run: str | None = None
    request: ChatRequest | None = None
    """The request the run answers: tables that the user supplied stand in its messages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """Something made on the way that is not text: a chart."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolResult:
    """What a tool says back to the model. An error is a result, too: the model may try otherwise."""

    text: str
    is_error: bool = False
    is_untrusted: bool = False
    """It comes from outside: marked as content, never as instructions, before a model reads it."""
    artifacts: tuple[Artifact, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """A remembered passage: what was said or written, with its neighbours, and where it stands."""

    id: str
    text: str
    source: str
    """Where it comes from, as an answer may cite it: a session's turn, a document's section."""
    score: float
    valid_from: float
    """Unix time, seconds."""
    valid_until: float | None = None
    """When another version took its place, Unix time, seconds; None for what holds."""
    speaker: str | None = None
    session: str | None = None
    """Whose turns it consists of; None for what is no conversation."""
    seqs: tuple[int, ...] = ()
    """Places of these turns in the session, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallQuery:
    """What to look for in long-term memory, and whose."""

    tenant: str
    text: str
    user: str | None = None
    session: str | None = None
    agent: str | None = None
    documents_only: bool = False
    """Only what the tenant wrote for everybody: its documents."""
    limit: int = 3
    as_of: float | None = None
    """Unix time, seconds; None is now."""
