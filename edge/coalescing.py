"""Identical requests in flight make one upstream call, and all of them get its answer.

Identical means: the same tenant, the same body (key order and white space aside), the same headers that
mean something to the upstream (session, idempotency key). Everybody gets the *same* sample, so what asks
for several (`n` above 1) is left alone, and so is what asks for a call of its own: `Cache-Control:
no-cache` or `no-store`.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace

import msgspec

from cloud.wire import headers as names
from cloud.wire.errors import DeadlineExceeded
from cloud.wire.service.observe import Tracing
from edge.domain import Answer, Principal, Query
from edge.ports import Upstream
from edge.shared_call import SharedCall

_LARGEST_BODY_BYTES = 256 * 1024
"""Larger bodies are hardly ever sent twice at once, and reading them again costs milliseconds."""
_NOT_OF_THE_REQUEST = frozenset({names.TRACEPARENT, names.TRACESTATE})

_Key = tuple[str, tuple[tuple[str, str], ...], bytes]


class CoalescingUpstream:
    """Forwards a request, or joins the call that an identical one has under way.

    An error before the first document is everybody's: those who wait do not go and ask an ailing upstream
    again one by one. The exception is the deadline of the call, which is that of the request it was
    started for: whoever has time left calls again. Once documents flow, its end is the end for all.
    """

    def __init__(
        self,
        inner: Upstream,
        *,
        tracing: Tracing,
        replay_bytes: int,
        on_collapsed: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._tracing = tracing
        self._replay_bytes = replay_bytes
        self._on_collapsed = on_collapsed
        self._calls: dict[_Key, SharedCall] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def forward(self, query: Query) -> Answer:
        key = _key_of(query)
        if key is None:
            return await self._inner.forward(query)
        while True:
            call = self._calls.get(key)
            joins = call is not None and call.serves(query.deadline)
            if call is None or not joins:
                call = self._start(key, query)
            else:
                self._on_collapsed()
                self._tracing.link(call.span)
            reader = call.join(query.deadline)
            try:
                answer = await reader.opened()
            except BaseException as error:
                await reader.aclose()
                has_time = query.deadline > asyncio.get_running_loop().time()
                if joins and has_time and isinstance(error, DeadlineExceeded):
                    continue
                raise
            return replace(answer, documents=reader, collapsed=joins)

    async def models(self, principal: Principal, request_id: str) -> bytes:
        return await self._inner.models(principal, request_id)

    async def check(self) -> None:
        await self._inner.check()

    async def aclose(self) -> None:
        """Stop every call still under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, key: _Key, query: Query) -> SharedCall:
        call = SharedCall(self._inner, query, replay_bytes=self._replay_bytes, span=self._tracing.current())
        self._calls[key] = call
        self._running.add(call.task)

        def forget(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            if self._calls.get(key) is call:
                del self._calls[key]

        call.task.add_done_callback(forget)
        return call


def _key_of(query: Query) -> _Key | None:
    """What identical requests have in common; None when the request wants a call of its own."""
    body = query.document.body
    control = query.passed_on.get(names.CACHE_CONTROL, "").lower()
    if "no-cache" in control or "no-store" in control:
        return None
    if (query.request.n or 1) > 1 or len(body) > _LARGEST_BODY_BYTES:
        return None
    canonical = msgspec.json.encode(query.document.fields, order="deterministic")
    passed_on = sorted(item for item in query.passed_on.items() if item[0] not in _NOT_OF_THE_REQUEST)
    return query.principal.tenant, tuple(passed_on), hashlib.sha256(canonical).digest()
