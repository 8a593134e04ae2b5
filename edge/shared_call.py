"""One upstream call under way with any number of readers, each at its own pace."""

import asyncio

from opentelemetry.trace import SpanContext

from cloud.wire.errors import DeadlineExceeded, Overloaded, UpstreamUnavailable
from edge.domain import Answer, Query
from edge.ports import Upstream

_AHEAD_BYTES = 64 * 1024
"""How far the call runs ahead of its fastest reader: slow clients slow the upstream, not fill the memory."""
_EARLY = 0.1
"""Share of its time that a reader may lose by joining a call with an earlier deadline."""


class SharedCall:
    """Runs in a task of its own, so that it outlives the reader it was started for, but not the last.

    Documents are kept from the first one on while they are at most `replay_bytes` together, and so long
    others may join. After that only what a reader still has to read is kept, and a reader who falls twice
    that far behind the fastest is let go, with an error.
    """

    def __init__(
        self, upstream: Upstream, query: Query, *, replay_bytes: int, span: SpanContext | None
    ) -> None:
        self.query = query
        self.span = span
        """The span it was started in, for those who join to point at."""
        self.answer: Answer | None = None
        self._replay_bytes = replay_bytes
        self._readers: set[Reader] = set()
        self._documents: list[bytes] = []
        self._dropped = 0
        """How many documents from the start are no longer kept."""
        self._total_bytes = 0
        self._room: asyncio.Future[None] | None = None
        self._ended = False
        self._error: Exception | None = None
        self.task = asyncio.get_running_loop().create_task(self._run(upstream))

    def serves(self, deadline: float) -> bool:
        """Whether a reader with this deadline may still join and lose nothing, or next to nothing, by it."""
        if self._ended or self._total_bytes > self._replay_bytes or not self._readers:
            return False
        if deadline <= self.query.deadline:
            return True
        has_s = deadline - asyncio.get_running_loop().time()
        return deadline - self.query.deadline <= _EARLY * has_s

    def join(self, deadline: float) -> "Reader":
        # The call itself keeps the deadline it was started with; only an earlier one needs a timer.
        reader = Reader(self, deadline if deadline < self.query.deadline else None)
        self._readers.add(reader)
        return reader

    def leave(self, reader: "Reader") -> None:
        self._readers.discard(reader)
        if self._readers:
            self._make_room()
        elif not self._ended:
            self.task.cancel()

    async def _run(self, upstream: Upstream) -> None:
        try:
            answer = await upstream.forward(self.query)
            self.answer = answer
            self._wake()
            try:
                async for document in answer.documents:
                    self._documents.append(document)
                    self._total_bytes += len(document)
                    self._wake()
                    if self._total_bytes > _AHEAD_BYTES:
                        await self._keep_pace()
                self._end(None)  # before closing, which may take a moment that nobody needs to wait for
            finally:
                await answer.documents.aclose()
        except asyncio.CancelledError:
            # Either nobody is left to hear of it, or the service is shutting down.
            self._end(UpstreamUnavailable("this service is shutting down", retry_after_s=1))
            raise
        except Exception as error:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake()

    async def _keep_pace(self) -> None:
        """Wait for the fastest reader, forget what everybody has read, let hopeless readers go."""
        while self._lead() > _AHEAD_BYTES:
            self._room = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout_at(self.query.deadline):
                    await self._room
            except TimeoutError as error:
                raise DeadlineExceeded("the deadline passed before the answer was read") from error
            finally:
                self._room = None
        if self._total_bytes <= self._replay_bytes:
            return
        far_behind = self._total_bytes - 2 * self._replay_bytes
        fastest = max(reader.read_bytes for reader in self._readers)
        for reader in [*self._readers]:
            if reader.read_bytes < min(far_behind, fastest):
                self._readers.discard(reader)
                reader.let_go()
        read_by_all = min(reader.position for reader in self._readers)
        del self._documents[: read_by_all - self._dropped]
        self._dropped = read_by_all

    def _lead(self) -> int:
        return self._total_bytes - max((reader.read_bytes for reader in self._readers), default=0)

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()


class Reader:
    """The documents of a shared call as one caller reads them."""

    __slots__ = ("_call", "_deadline", "_waiting", "_was_let_go", "position", "read_bytes")

    def __init__(self, call: SharedCall, deadline: float | None) -> None:
        self._call = call
        self._deadline = deadline
        self._waiting: asyncio.Future[None] | None = None
        self._was_let_go = False
        self.position = 0
        """How many documents were read."""
        self.read_bytes = 0

    async def opened(self) -> Answer:
        """The answer as the upstream began it. Raises what the call raised before its first document."""
        call = self._call
        while call.answer is None:
            if call._error is not None:
                raise call._error.with_traceback(None)
            await self._news()
        return call.answer

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> bytes:
        call = self._call
        while self.position >= call._dropped + len(call._documents) or self._was_let_go:
            if self._was_let_go:
                raise Overloaded("this reader fell too far behind the stream", code="reader_too_slow")
            if call._error is not None:
                raise call._error.with_traceback(None)
            if call._ended:
                raise StopAsyncIteration
            await self._news()
        document = call._documents[self.position - call._dropped]
        self.position += 1
        self.read_bytes += len(document)
        if call._room is not None and call._lead() <= _AHEAD_BYTES:
            call._make_room()
        return document

    async def aclose(self) -> None:
        self._call.leave(self)

    def wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def let_go(self) -> None:
        self._was_let_go = True
        self.wake()

    async def _news(self) -> None:
        loop = asyncio.get_running_loop()
        waiting = self._waiting = loop.create_future()
        timer = None if self._deadline is None else loop.call_at(self._deadline, _is_late, waiting)
        try:
            await waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()


def _is_late(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_exception(DeadlineExceeded("the deadline passed before the answer was complete"))
