"""A bound on texts that wait to be read: more than the edge can read in time are told to come back."""

import asyncio
from collections.abc import Callable

from cloud.wire.errors import Overloaded
from edge.domain import Encoding
from edge.ports import Encoder

_RETRY_AFTER_S = 1


class BoundedEncoder:
    """An Encoder around another that reads, or lets wait, at most `most` texts at a time.

    Reading takes most of a decision's time on the CPU, so its queue is where an overloaded edge grows slow.
    What is answered from the exact cache is never read, and never turned away here. A text that many ask at
    once is read once: a popular question takes one place, however many wait for it.
    """

    def __init__(self, inner: Encoder, *, most: int, on_shed: Callable[[], None] = lambda: None) -> None:
        self._inner = inner
        self._most = most
        self._on_shed = on_shed
        self._readings: dict[str, _Reading] = {}

    @property
    def identity(self) -> str:
        return self._inner.identity

    async def encode(self, text: str) -> Encoding:
        """Raises Overloaded at once when the queue is full."""
        reading = self._readings.get(text)
        if reading is None:
            if len(self._readings) >= self._most:
                self._on_shed()
                raise Overloaded(
                    "the edge has more requests to read than it can", retry_after_s=_RETRY_AFTER_S
                )
            reading = self._readings[text] = _Reading(asyncio.ensure_future(self._inner.encode(text)))
        reading.callers += 1
        try:
            return await asyncio.shield(reading.task)  # a caller that leaves takes nothing from the others
        finally:
            reading.callers -= 1
            if reading.callers == 0:
                reading.task.cancel()  # nobody wants it any more, unless it is done
                del self._readings[text]


class _Reading:
    """One text being read, and how many wait for it."""

    __slots__ = ("callers", "task")

    def __init__(self, task: asyncio.Future[Encoding]) -> None:
        self.task = task
        self.callers = 0
