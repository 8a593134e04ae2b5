"""Frozen values of a conversation: its turns, its state object, and who may write."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import msgspec

from cloud.wire.answers import Usage
from cloud.wire.chat import Message

_MESSAGE = msgspec.json.Decoder(Message)


class Utterance(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One message of a conversation, as it was written."""

    document: bytes
    """JSON of the chat message, fields we do not know included."""

    @cached_property
    def message(self) -> Message:
        return _MESSAGE.decode(self.document)

    @property
    def role(self) -> str:
        return self.message.role

    @property
    def text(self) -> str:
        return self.message.text


class Turn(Utterance, frozen=True, kw_only=True, dict=True):
    """One message of a session, at its place for good."""

    seq: int
    """From 1, without gaps; the only order there is."""
    user: str | None = None
    """Who spoke or was spoken to: the tenant's own name for the person."""
    model: str | None = None
    """Which model answered; None for what was not answered by one."""
    usage: Usage | None = None
    """What the answer cost; None for what is no answer."""
    created_at: float
    """Unix time, seconds, by the clock of whoever wrote it: nothing is ordered by it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTurn:
    """A message about to be appended."""

    document: bytes
    tokens: int
    """What it adds to the next prompt, by the model's own tokenizer."""
    model: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What is known of one conversation without reading it."""

    id: str
    user: str | None
    """Of its first turn."""
    turns: int
    sent_tokens: int
    """Of all prompts so far, by our own count."""
    raw_tokens: int
    """What those prompts would have come to, had the whole log been sent every time."""
    state_version: int
    """0 before the first checkpoint."""
    created_at: float
    updated_at: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Something the state object says, and the turns it is taken from."""

    text: str
    seqs: tuple[int, ...]
    weight: float = 1.0
    """What it counts for when room is short."""


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote a version of a state object, and what that cost."""

    by: Literal["extractive", "provider"]
    """Rules and a fitted choice of sentences, or a model."""
    provider: str | None = None
    model: str | None = None
    """The catalog's names of whom was asked."""
    answered_as: str | None = None
    """The model that the answer itself names: another one where the gateway turned to a fallback."""
    usage: Usage | None = None
    """Tokens of the call; None for rules, and for a provider that does not count."""


EXTRACTIVE = Author(by="extractive")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation amounts to up to `covered_through`: one version of its state object."""

    version: int = 0
    covered_through: int = 0
    """Seq of the last turn that is told here and no longer sent."""
    facts: tuple[Line, ...] = ()
    """Names, numbers, preferences, decisions."""
    open_tasks: tuple[Line, ...] = ()
    summary: tuple[Line, ...] = ()
    """Oldest first."""
    entities: tuple[Line, ...] = ()
    written_by: Author | None = None
    """None before the first version."""

    @property
    def is_empty(self) -> bool:
        return not (self.facts or self.open_tasks or self.summary)


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """What the next prompt is made from: the newest state, and the turns after it."""

    state: State
    turns: tuple[Turn, ...]
    """Those after `state.covered_through`, in order."""
    turn_count: int
    """Of the whole session."""
    incarnation: str = ""
    """Tells a session from one of the same name that was deleted."""
    log_tokens: int = 0
    """Of all its turns: what sending the whole log would cost."""
    limit_tokens: int = 0
    """The last prompt's limit; 0 before the first answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to append to one session, until it expires or is given back."""

    tenant: str
    session: str
    holder: str
    """Unique to this lease: whoever holds another is refused, however late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a summarizer makes of some turns and the state before them."""

    facts: tuple[Line, ...] = ()
    open_tasks: tuple[Line, ...] = ()
    summary: tuple[Line, ...] = ()
    entities: tuple[Line, ...] = ()
    written_by: Author


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Something a prompt does without, and why."""

    what: Literal["turn", "memory", "context", "state"]
    reference: str
    reason: Literal["over budget", "already said", "in the window", "outside the window"]
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembled:
    """A prompt within its budget."""

    messages: tuple[bytes, ...]
    """JSON of the chat messages, in order."""
    tokens: int
    stable_messages: int
    """How many from the front stay the same to the byte until the next checkpoint."""
    memories: int = 0
    turns: int = 0
    left_out: tuple[LeftOut, ...] = field(default=())
