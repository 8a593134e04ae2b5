"""A circuit breaker around any upstream: one for each model, since one may fail while others answer.

Nothing is tried twice here. A chat completion is not idempotent, and through httpx a connection that was
refused, one that was closed while idle and one that broke after the request had arrived look alike
(httpx-aiohttp reports all three as a failure to connect), so "it never reached the application" cannot be
told. A retry is the client's decision, with the `Retry-After` it is given.
"""

import asyncio
from dataclasses import replace

from cloud.wire.answers import Documents
from cloud.wire.service.breaker import Breakers, Permit, judge
from edge.domain import Answer, Principal, Query
from edge.ports import Upstream

_MODEL_LIST = ""
"""The key of the model list's own breaker: no model has an empty name."""


class BreakingUpstream:
    """Refuses calls to a model that keeps failing, and lets single probes through."""

    def __init__(self, inner: Upstream, *, breakers: Breakers, patience_s: float) -> None:
        """`patience_s`: a deadline that passes after this wait counts as the upstream's failure."""
        self._inner = inner
        self._breakers = breakers
        self._patience_s = patience_s

    async def forward(self, query: Query) -> Answer:
        call = _Watched(
            self._breakers.of(query.request.model).admit(),
            deadline=query.deadline,
            patience_s=self._patience_s,
        )
        try:
            answer = await self._inner.forward(query)
        except BaseException as error:
            call.stopped(error)
            raise
        if not query.request.streams:
            call.permit.succeeded()  # the one document of a plain answer is the whole of it
            return answer
        call.permit.answered()
        return replace(answer, documents=_WatchedDocuments(answer.documents, call))

    async def models(self, principal: Principal, request_id: str) -> bytes:
        call = _Watched(self._breakers.of(_MODEL_LIST).admit(), deadline=float("inf"), patience_s=0.0)
        try:
            listed = await self._inner.models(principal, request_id)
        except BaseException as error:
            call.stopped(error)
            raise
        call.permit.succeeded()
        return listed

    async def check(self) -> None:
        """Always asked: readiness must see the upstream, not the breaker."""
        await self._inner.check()


class _Watched:
    """One call under way, and what its end says about the upstream."""

    __slots__ = ("_clock", "_deadline", "_last_heard", "_patience_s", "permit")

    def __init__(self, permit: Permit, *, deadline: float, patience_s: float) -> None:
        self.permit = permit
        self._clock = asyncio.get_running_loop().time
        self._deadline = deadline
        self._patience_s = patience_s
        self._last_heard = self._clock()

    def heard(self) -> None:
        self._last_heard = self._clock()

    def stopped(self, error: BaseException) -> None:
        now = self._clock()
        self.permit.settle(
            judge(
                error,
                waited_s=now - self._last_heard,
                remaining_s=self._deadline - now,
                patience_s=self._patience_s,
            )
        )


class _WatchedDocuments:
    """A stream whose break counts as a failure, and whose normal end as a success."""

    __slots__ = ("_call", "_documents")

    def __init__(self, documents: Documents, call: _Watched) -> None:
        self._documents = documents
        self._call = call

    def __aiter__(self) -> "_WatchedDocuments":
        return self

    async def __anext__(self) -> bytes:
        try:
            document = await self._documents.__anext__()
        except StopAsyncIteration:
            self._call.permit.succeeded()
            raise
        except BaseException as error:
            self._call.stopped(error)
            raise
        self._call.heard()
        return document

    async def aclose(self) -> None:
        # A stream closed early says nothing new: its first document has been told already.
        await self._documents.aclose()
