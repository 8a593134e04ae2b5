"""Listening in on an answer: stored when it ended well, and only then."""

from collections.abc import Sequence

import pytest

from cloud.wire.errors import UpstreamBroken
from edge.storing import Storing

pytestmark = pytest.mark.anyio

CHUNKS = [
    b'{"id":"1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}',
    b'{"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
]
WHOLE = b'{"object":"chat.completion","choices":[]}'


class Answer:
    """Documents that end, or break, when told to."""

    def __init__(self, documents: Sequence[bytes], *, breaks: bool = False) -> None:
        self._left = list(documents)
        self._breaks = breaks
        self.is_closed = False

    def __aiter__(self) -> "Answer":
        return self

    async def __anext__(self) -> bytes:
        if self._left:
            return self._left.pop(0)
        if self._breaks:
            raise UpstreamBroken("cut")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed = True


async def heard(answer: Answer, *, streams: bool, read: int = 9, max_bytes: int = 10_000) -> list[bytes]:
    """What was stored after `read` documents were read."""
    stored: list[bytes] = []
    storing = Storing()

    async def store(completion: bytes) -> None:
        stored.append(completion)

    documents = storing.listening(answer, streams=streams, max_bytes=max_bytes, store=store)
    try:
        for _ in range(read):
            await anext(documents)
    except (StopAsyncIteration, UpstreamBroken):
        pass
    await documents.aclose()
    await storing.settled()
    assert answer.is_closed
    return stored


async def test_a_stream_is_stored_when_it_has_ended() -> None:
    assert len(await heard(Answer(CHUNKS), streams=True)) == 1


async def test_a_stream_nobody_read_to_its_end_is_not_stored() -> None:
    assert await heard(Answer(CHUNKS), streams=True, read=2) == []


async def test_a_broken_stream_is_not_stored() -> None:
    assert await heard(Answer(CHUNKS, breaks=True), streams=True) == []


async def test_a_plain_answer_is_stored_with_its_one_document() -> None:
    assert await heard(Answer([WHOLE]), streams=False, read=1) == [WHOLE]


async def test_a_plain_answer_is_stored_once() -> None:
    assert await heard(Answer([WHOLE]), streams=False) == [WHOLE]


async def test_an_answer_longer_than_the_limit_is_let_go() -> None:
    assert await heard(Answer(CHUNKS), streams=True, max_bytes=100) == []
