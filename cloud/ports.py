"""What the cloud needs from the outside world, one Protocol a need."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cloud.domain import Answer, Call, Episode, RecallQuery, ToolContext, ToolResult, ToolSpec
from cloud.domain_accounting import Budget, Cost, Reserved
from cloud.domain_memory import Behind, Memory, NewMemory, Scope, Stamp
from cloud.domain_runs import Run, RunEnd, RunSpec
from cloud.domain_sessions import Lease, NewTurn, Session, State, Summary, Turn, Window
from cloud.wire.answers import Usage
from cloud.wire.chat import Message

if TYPE_CHECKING:
    # Whoever passes no vectors on need not load it.
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")


class Provider(Protocol):
    """Somebody who answers chat completions."""

    def complete(self, call: Call) -> AsyncGenerator[bytes]:
        """Yield the answer as JSON documents.

        A streaming request yields `chat.completion.chunk` objects, the last with usage if the caller
        asked for it; any other request yields exactly one `chat.completion`. Returning means the
        answer is complete; everything else raises a WaysideError, at any point. Closing the generator
        stops the work.
        """
        ...

    async def check(self) -> None:
        """Return when the provider can answer; raise UpstreamUnavailable when it cannot."""
        ...


class Answering(Protocol):
    """One layer between a parsed request and its answer; each stands around the next."""

    async def answer(self, call: Call) -> Answer:
        """The call's answer, begun no further than its headers need."""
        ...


class Tool(Protocol):
    """Something an agent can have done."""

    @property
    def spec(self) -> ToolSpec: ...

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """Do it. What goes wrong is told in the result; only cancellation is raised."""
        ...


class Journal(Protocol):
    """The record of one run's steps."""

    async def once(self, name: str, kind: type[T], work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives, recorded; where it was done before, what it gave then.

        Calls come in the same order whenever the run is taken up. `kind` is the value's type, JSON's.
        """
        ...


RunWork = Callable[[RunSpec, Journal], Awaitable[RunEnd]]
"""Does a run from its first step, or goes on with one that stopped anywhere."""


class Runs(Protocol):
    """Runs that survive whoever began them. What belongs to another tenant is not there: NotFound."""

    async def start(self, spec: RunSpec) -> None:
        """Durable when this returns. A run of the same id is begun once."""
        ...

    async def end(self, run: str) -> RunEnd:
        """Wait for it. A run that was cancelled ends in a failure; leaving off waiting changes nothing."""
        ...

    async def find(self, tenant: str, run: str) -> Run: ...

    async def listed(self, tenant: str, *, limit: int, user: str | None = None) -> tuple[Run, ...]:
        """The newest first, without their steps."""
        ...

    async def cancel(self, tenant: str, run: str) -> None:
        """Stop it, the step under way included; one that has ended stays as it is."""
        ...


class Ledger(Protocol):
    """What tenants spend."""

    async def admit(self, tenant: str, budget: Budget) -> Mapping[str, str]:
        """Count a request; the headers that say what is left. Raises QuotaExceeded."""
        ...

    async def reserve(self, tenant: str, budget: Budget, cost: Cost) -> Reserved:
        """Take what a call may cost from the budget, durably. Raises QuotaExceeded, with nothing taken."""
        ...

    async def settle(self, reserved: Reserved, call: Call, usage: Usage, cost: Cost) -> None:
        """Put what it did cost in the reservation's place."""
        ...

    async def usage(self, tenant: str, *, days: int) -> Sequence[Mapping[str, Any]]:
        """By day, agent and model; days count from 1970, UTC."""
        ...

    async def left(self, tenant: str, budget: Budget) -> Mapping[str, str]:
        """The headers that say what is left, with nothing taken."""
        ...


class Recall(Protocol):
    """Long-term memory, as whoever answers reads it."""

    async def recall(self, query: RecallQuery) -> tuple[Episode, ...]:
        """The most relevant episodes the query's owner may see, best first."""
        ...


class Erasable(Protocol):
    """A store that holds what people said, and can give it out, take it back or forget it."""

    @property
    def kinds(self) -> frozenset[str]:
        """Of the records it gives out."""
        ...

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        """Forget the person, and what was derived from them; what was removed, counted by kind."""
        ...

    def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        """All that is kept of the person, a record at a time, each JSON's types alone and with a `kind`."""
        ...

    async def restore(self, tenant: str, user: str, records: Sequence[Mapping[str, Any]]) -> int:
        """Keep what an export gave out, all or nothing; how many were not there already.

        Raises InvalidRequest for what is not a record of this person's, before anything is kept.
        """
        ...


class MemoryStore(Protocol):
    """What is remembered for long. What belongs to another tenant is not there."""

    async def add(self, tenant: str, memories: Sequence[NewMemory]) -> tuple[str, ...]:
        """Ids in order, durable when this returns; one that is there already keeps its id."""
        ...

    async def stamp(self, tenant: str, scope: Scope, owner: str) -> Stamp:
        """Differs from an earlier one whenever the owner's memories do."""
        ...

    async def since(
        self, tenant: str, scope: Scope, owner: str, *, seq: int = 0, limit: int = 2000
    ) -> tuple[tuple[int, Memory], ...]:
        """Versions that came or were superseded after `seq`, each with its own, in order."""
        ...

    async def ids(self, tenant: str, scope: Scope, owner: str) -> frozenset[str]:
        """Of all versions that are kept."""
        ...

    async def ingested_through(self, tenant: str, session: str) -> int:
        """The last turn of a session that is remembered; 0 before the first."""
        ...


class Embedder(Protocol):
    """Text to unit-norm vectors of one embedding space."""

    @property
    def identity(self) -> str:
        """Of the space: vectors of another must not be compared with these."""
        ...

    @property
    def dimensions(self) -> int: ...

    async def embed(self, text: str) -> "npt.NDArray[np.float32]":
        """Shape (dimensions,)."""
        ...


class MemoryVectors(Protocol):
    """Embeddings of memories, each for the bundle that made it; they go with their memories."""

    async def behind(self, bundle: str) -> tuple[Behind, ...]:
        """Some of the owners with memories the bundle has not read."""
        ...

    async def put(
        self, owner: Behind, bundle: str, *, through: int, vectors: Sequence[tuple[str, bytes]]
    ) -> None:
        """Keeps vectors by memory id, and that all up to `through` are read."""
        ...

    async def since(
        self, tenant: str, scope: Scope, owner: str, bundle: str, *, seq: int, up_to: int
    ) -> tuple[int, tuple[tuple[str, bytes], ...]]:
        """How far this page reaches, at most `up_to`, and vectors by memory id of what came after `seq`."""
        ...


class SessionStore(Protocol):
    """Conversations as they are kept. What belongs to another tenant is not there: NotFound."""

    async def session(self, tenant: str, session: str) -> Session: ...

    async def sessions(self, tenant: str, *, limit: int, after: str | None = None) -> tuple[Session, ...]:
        """By id, those after `after`."""
        ...

    async def turns(
        self, tenant: str, session: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[Turn, ...]:
        """The turns with a seq greater than `after`, in order. An unknown session has none."""
        ...

    async def delete(self, tenant: str, session: str) -> None:
        """Its turns, its state, everything; a turn under way in it will be refused."""
        ...


class SessionWriter(Protocol):
    """One writer at a time per session, in whichever process."""

    async def take(self, tenant: str, session: str, *, user: str | None) -> Lease | None:
        """The right to append, or None while another has it. Creates the session on first use."""
        ...

    async def renew(self, lease: Lease) -> bool:
        """Keep it for another term; False when it was lost."""
        ...

    async def append(
        self,
        lease: Lease,
        turns: Sequence[NewTurn],
        *,
        user: str | None,
        prompt_tokens: int,
        limit_tokens: int,
    ) -> int:
        """All of the turns, durable when this returns, the lease given back; the last one's seq.

        `prompt_tokens` is what was sent for them and `limit_tokens` its limit, by our own count. Raises
        SessionConflict, with nothing appended, when the lease was lost.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Give it back with nothing appended."""
        ...


class CheckpointStore(Protocol):
    """State objects of sessions, and which sessions are due for a new one."""

    async def window(self, tenant: str, session: str, *, from_oldest: bool = False) -> Window:
        """State and the turns after it as of one moment; empty for an unknown session.

        Of a very long window only the newest turns, or the oldest where asked for.
        """
        ...

    async def claim_due(self, *, limit: int) -> tuple[tuple[str, str], ...]:
        """(tenant, session) of sessions whose window has passed the threshold, for this caller to fold.

        A claim lapses by itself, so that one that died with its process is taken up again.
        """
        ...

    async def publish(
        self, tenant: str, session: str, state: State, *, replaces: Window, state_tokens: int
    ) -> bool:
        """Make `state` the newest, if that of `replaces` still is and the session is the same one.

        False, and nothing changed, if not.
        """
        ...


class Tokens(Protocol):
    """How a model counts. Never less than the model itself does."""

    def of_messages(self, messages: Sequence[Message]) -> int:
        """A whole prompt, the cue for the answer included."""
        ...

    def of_message(self, message: Message) -> int:
        """What one message adds to a prompt, wherever it stands."""
        ...

    def of_text(self, text: str) -> int: ...


class Summarizer(Protocol):
    """Folds turns into what is worth keeping of them."""

    async def summarize(
        self, turns: Sequence[Turn], previous: State, *, tenant: str, max_tokens: int, tokens: Tokens
    ) -> Summary:
        """`previous` and `turns` together, at most `max_tokens` of `tokens` in a prompt.

        `tenant` is whose conversation it is, and who pays for it. Raises a WaysideError when it cannot.
        """
        ...
