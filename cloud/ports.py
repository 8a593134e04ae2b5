"""What the cloud needs from the outside world, one Protocol a need."""

from collections.abc import AsyncGenerator
from typing import Protocol

from cloud.domain import Call


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
