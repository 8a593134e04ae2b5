"""An upstream port whose every answer is told step by step by the test."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cloud.wire.answers import Documents
from cloud.wire.chat import parse
from edge.domain import Answer, Principal, Query

_END = object()


def query(
    text: str = "hi",
    *,
    tenant: str = "acme",
    within_s: float = 30.0,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> Query:
    """A query as the handlers make it; must be called inside the event loop."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    return Query(
        principal=Principal(tenant=tenant, key_id="k"),
        document=parse(msgspec.json.encode(body), max_depth=64),
        deadline=asyncio.get_running_loop().time() + within_s,
        passed_on=headers or {},
        request_id="req_1",
    )


class GatedCall:
    """One forwarded query. Nothing comes of it but what the test says."""

    def __init__(self, asked: Query) -> None:
        self.query = asked
        self.was_cancelled = False
        self.was_closed = False
        self.was_read = 0
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told: asyncio.Queue[object] = asyncio.Queue()

    def begin(self) -> None:
        if not self._begun.done():
            self._begun.set_result(None)

    def say(self, *documents: bytes) -> None:
        self.begin()
        for document in documents:
            self._told.put_nowait(document)

    def end(self) -> None:
        self.begin()
        self._told.put_nowait(_END)

    def fail(self, error: Exception) -> None:
        if self._begun.done():
            self._told.put_nowait(error)
        else:
            self._begun.set_exception(error)

    async def opened(self) -> Answer:
        try:
            await self._begun
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        documents: Documents = self
        return Answer(route="cloud", documents=documents, headers={"x-ratelimit-limit": "9"})

    def __aiter__(self) -> "GatedCall":
        return self

    async def __anext__(self) -> bytes:
        try:
            told = await self._told.get()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if told is _END:
            raise StopAsyncIteration
        if isinstance(told, Exception):
            raise told
        assert isinstance(told, bytes)
        self.was_read += 1
        return told

    async def aclose(self) -> None:
        self.was_closed = True


@dataclass(kw_only=True)
class GatedUpstream:
    calls: list[GatedCall] = field(default_factory=list)

    async def forward(self, query: Query) -> Answer:
        call = GatedCall(query)
        self.calls.append(call)
        return await call.opened()

    async def models(self, principal: Principal, request_id: str) -> bytes:
        return b'{"object":"list","data":[]}'

    async def check(self) -> None:
        """Ready, whatever the test tells the calls."""


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def read(answer: Answer) -> list[bytes]:
    """Every document, then close, as the relay does."""
    try:
        return [document async for document in answer.documents]
    finally:
        await answer.documents.aclose()
