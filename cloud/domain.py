"""Frozen values the cloud reasons about: models, calls, deadlines."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from cloud.wire.chat import ChatDocument, ChatRequest

Tier = Literal["small", "standard", "strong"]


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
    request_id: str

    @property
    def request(self) -> ChatRequest:
        return self.document.request

    def remaining_s(self) -> float:
        """Seconds left before the caller stops waiting; never negative."""
        return max(0.0, self.deadline - asyncio.get_running_loop().time())
