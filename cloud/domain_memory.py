"""Frozen values of long-term memory."""

import hashlib
from dataclasses import dataclass
from typing import Literal

Scope = Literal["user", "session", "agent", "tenant"]
"""Whose a memory is: a person's, a conversation's, an agent's, or everybody's (the tenant's documents)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMemory:
    """A passage about to be remembered."""

    scope: Scope
    owner: str
    """The person, session or agent; empty for the tenant's documents."""
    text: str
    group: str
    """What it stands in beside its neighbours: a session, a document."""
    place: int
    """Its place in the group."""
    source: str
    speaker: str = ""
    user: str | None = None
    """The person it speaks of, who may have it erased."""
    said_at: float
    """Unix time, seconds."""
    expires_at: float | None = None
    is_turn: bool = False
    """Turns are kept each at its place, also where two say the same."""

    @property
    def content_hash(self) -> str:
        """What makes two writes the same memory."""
        place = f"{self.group}\x00{self.place}\x00" if self.is_turn else f"{self.speaker}\x00"
        return hashlib.sha256(f"{place}{' '.join(self.text.split())}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """A passage as it is kept."""

    id: str
    scope: Scope
    owner: str
    text: str
    group: str
    place: int
    source: str
    speaker: str
    said_at: float
    expires_at: float | None
    created_at: float
