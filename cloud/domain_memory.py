"""Frozen values of long-term memory."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

Scope = Literal["user", "session", "agent", "tenant"]
"""Whose a memory is: a person's, a conversation's, an agent's, or everybody's (the tenant's documents)."""

TURNS_OF: Final = "session/"
"""How the group of a session's turns begins."""


def content_hash(*, group: str, place: int, speaker: str, text: str) -> str:
    """What makes two writes of one owner the same memory.

    Turns are kept each at its place, also where two say the same.
    """
    place_of = f"{group}\x00{place}\x00" if group.startswith(TURNS_OF) else f"{speaker}\x00"
    return hashlib.sha256(f"{place_of}{' '.join(text.split())}".encode()).hexdigest()


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

    @property
    def content_hash(self) -> str:
        return content_hash(group=self.group, place=self.place, speaker=self.speaker, text=self.text)


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as it is kept: one version of a memory."""

    id: str
    lineage: str
    """The id of the memory's first version, which all its versions share."""
    scope: Scope
    owner: str
    user: str | None
    text: str
    group: str
    place: int
    source: str
    speaker: str
    said_at: float
    """Unix time, seconds; it holds from then on."""
    valid_until: float | None
    """When another version took its place; None for the one that holds."""
    expires_at: float | None
    created_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """An owner with memories that a bundle has not read."""

    tenant: str
    scope: Scope
    owner: str
    incarnation: str
    last_seq: int
    """What the owner's newest change has; memories up to `through` are read."""
    through: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """Where an owner's memories stand: it differs whenever they do."""

    incarnation: str = ""
    """Another one after an erasure: nothing known before it counts."""
    last_seq: int = 0
    """Grows with every version that comes or is superseded."""
    removed: int = 0
    """Grows with every deletion."""
