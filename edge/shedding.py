"""A bound on forwarded requests: a few wait a moment, the rest are told at once to come back.

It stands around the upstream, not at the door: answers from storage, and requests that join a call under
way, cost the upstream nothing and are never turned away. The door has a bound of its own
(`max_requests`), which is about memory.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace

from cloud.wire.answers import Documents
from cloud.wire.errors import DeadlineExceeded, Overloaded
from edge.domain import Answer, Principal, Query
from edge.ports import Upstream

_RETRY_AFTER_S = 1


class SheddingUpstream:
    """Forwards at most `max_in_flight` requests at a time, until the last byte of their answers."""

    def __init__(
        self,
        inner: Upstream,
        *,
        max_in_flight: int,
        max_waiting: int,
        max_wait_s: float,
        on_shed: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._free = max_in_flight
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._on_shed = on_shed
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def forward(self, query: Query) -> Answer:
        """Raises Overloaded when the queue is full, or when its turn does not come in time."""
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_a_turn(query.deadline)
        try:
            answer = await self._inner.forward(query)
        except BaseException:
            self._release()
            raise
        if not query.request.streams:
            self._release()  # the one document of a plain answer is already here
            return answer
        return replace(answer, documents=_Held(answer.documents, self._release))

    async def models(self, principal: Principal, request_id: str) -> bytes:
        return await self._inner.models(principal, request_id)

    async def check(self) -> None:
        await self._inner.check()

    async def _wait_for_a_turn(self, deadline: float) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise self._shed()
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        latest = loop.time() + self._max_wait_s
        try:
            async with asyncio.timeout_at(min(latest, deadline)):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._release()  # the turn came as we left
            else:
                with suppress(ValueError):  # a release may have passed over it already
                    self._waiting.remove(turn)
            if not isinstance(error, TimeoutError):
                raise
            if deadline < latest:
                raise DeadlineExceeded("the deadline passed while waiting for a turn") from error
            raise self._shed() from error

    def _release(self) -> None:
        """Pass the place on, or free it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _shed(self) -> Overloaded:
        self._on_shed()
        return Overloaded("too many requests are being forwarded", retry_after_s=_RETRY_AFTER_S)


class _Held:
    """A stream that keeps its place until it is closed."""

    __slots__ = ("_documents", "_is_closed", "_release")

    def __init__(self, documents: Documents, release: Callable[[], None]) -> None:
        self._documents = documents
        self._release = release
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        # Nothing is to be seen between opening and closing, so iteration goes past this object.
        return self._documents.__aiter__()

    async def __anext__(self) -> bytes:
        return await self._documents.__anext__()

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            await self._documents.aclose()
        finally:
            self._release()
