"""What the cloud needs from the outside world, one Protocol a need."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

from cloud.domain import Answer, Call, Episode, RecallQuery, ToolContext, ToolResult, ToolSpec


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


class Recall(Protocol):
    """Long-term memory, as whoever answers reads it."""

    async def recall(self, query: RecallQuery) -> tuple[Episode, ...]:
        """The most relevant episodes the query's owner may see, best first."""
        ...
