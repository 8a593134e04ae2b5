"""Frozen values the cloud reasons about: models, calls, deadlines."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cloud.wire.chat import ChatDocument, ChatRequest

Tier = Literal["small", "standard", "strong"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who is asking, as proven by their key."""

    tenant: str
    is_edge: bool
    """Only an edge is believed about what stands in Wayside's semantic headers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """One entry of the catalog: a name callers use, and who answers to it."""

    name: str
    provider: str
    upstream_name: str
    """What the provider calls it."""
    tier: Tier = "standard"


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
    trace_headers: Mapping[str, str] = field(default_factory=dict)
    """W3C headers that continue the request's trace at the provider."""

    @property
    def request(self) -> ChatRequest:
        return self.document.request

    def remaining_s(self) -> float:
        """Seconds left before the caller stops waiting; never negative."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())
