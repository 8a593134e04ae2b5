"""What the edge needs from the outside world, one Protocol a need."""

from typing import Protocol

from edge.domain import Encoding


class Encoder(Protocol):
    """Reads a text once: intent, complexity, injection and embedding from one pass."""

    async def encode(self, text: str) -> Encoding: ...
