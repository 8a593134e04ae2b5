"""A bound on texts that wait to be read: more than the edge can read in time are told to come back."""

from collections.abc import Callable

from cloud.wire.errors import Overloaded
from edge.domain import Encoding
from edge.ports import Encoder

_RETRY_AFTER_S = 1


class BoundedEncoder:
    """An Encoder around another that reads, or lets wait, at most `most` texts at a time.

    Reading takes most of a decision's time on the CPU, so its queue is where an overloaded edge grows slow.
    What is answered from the exact cache is never read, and never turned away here.
    """

    def __init__(self, inner: Encoder, *, most: int, on_shed: Callable[[], None] = lambda: None) -> None:
        self._inner = inner
        self._left = most
        self._on_shed = on_shed

    @property
    def identity(self) -> str:
        return self._inner.identity

    async def encode(self, text: str) -> Encoding:
        """Raises Overloaded at once when the queue is full."""
        if self._left <= 0:
            self._on_shed()
            raise Overloaded("the edge has more requests to read than it can", retry_after_s=_RETRY_AFTER_S)
        self._left -= 1
        try:
            return await self._inner.encode(text)
        finally:
            self._left += 1
