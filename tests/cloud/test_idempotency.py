"""The same key and body are answered once; half an answer is never kept; tenants have keys of their own."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import pytest

from cloud.adapters.database import open_database
from cloud.adapters.sql_idempotency import SqlIdempotency
from cloud.domain import Answer, Call
from cloud.idempotency import REPLAYED, Idempotent
from cloud.wire.errors import IdempotencyConflict, UpstreamBroken
from tests.support.cloud_calls import call

pytestmark = pytest.mark.anyio


class Inner:
    """Answers with two documents, or breaks after the first; counts how often it was asked."""

    def __init__(self, *, breaks: bool = False, pause_s: float = 0.0) -> None:
        self.asked = 0
        self.breaks = breaks
        self.pause_s = pause_s

    async def answer(self, call: Call) -> Answer:
        self.asked += 1
        return Answer(documents=self._documents(self.asked), headers={"x": "1"})

    async def _documents(self, number: int) -> AsyncGenerator[bytes]:
        await asyncio.sleep(self.pause_s)
        yield b'{"n":%d}' % number
        if self.breaks:
            raise UpstreamBroken("cut")
        yield b'{"end":true}'


@pytest.fixture
async def kept(database_url: str) -> AsyncIterator[SqlIdempotency]:
    async with open_database(database_url) as database:
        yield SqlIdempotency(database, ttl_s=100, term_s=30)


def keyed(text: str = "hi", key: str = "k1", tenant: str = "acme") -> Call:
    return replace(call(text), idempotency_key=key, tenant=tenant)


async def told(layer: Idempotent, asked: Call) -> tuple[list[bytes], dict[str, str]]:
    answer = await layer.answer(asked)
    return [document async for document in answer.documents], dict(answer.headers)


async def test_a_repetition_is_told_what_was_told_before(kept: SqlIdempotency) -> None:
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    first, _ = await told(layer, keyed())
    again, headers = await told(layer, keyed())
    assert again == first == [b'{"n":1}', b'{"end":true}']
    assert headers == {"x": "1", REPLAYED: "true"}
    assert inner.asked == 1


async def test_another_body_under_the_same_key_is_refused(kept: SqlIdempotency) -> None:
    layer = Idempotent(inner=Inner(), kept=kept)
    await told(layer, keyed())
    with pytest.raises(IdempotencyConflict):
        await layer.answer(keyed("something else"))


async def test_tenants_have_keys_of_their_own_and_calls_without_a_key_are_left_alone(
    kept: SqlIdempotency,
) -> None:
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    await told(layer, keyed())
    await told(layer, keyed(tenant="other"))
    await told(layer, call())
    await told(layer, call())
    assert inner.asked == 4


async def test_repetitions_at_once_wait_for_the_first(kept: SqlIdempotency) -> None:
    inner = Inner(pause_s=0.1)
    layer = Idempotent(inner=inner, kept=kept)
    answers = await asyncio.gather(*(told(layer, keyed()) for _ in range(8)))
    assert inner.asked == 1
    assert len({tuple(documents) for documents, _ in answers}) == 1


async def test_half_an_answer_is_not_kept(kept: SqlIdempotency) -> None:
    inner = Inner(breaks=True)
    layer = Idempotent(inner=inner, kept=kept)
    with pytest.raises(UpstreamBroken):
        await told(layer, keyed())
    inner.breaks = False
    assert (await told(layer, keyed()))[0] == [b'{"n":2}', b'{"end":true}']


async def test_a_caller_that_leaves_frees_the_key(kept: SqlIdempotency) -> None:
    inner = Inner()
    layer = Idempotent(inner=inner, kept=kept)
    answer = await layer.answer(keyed())
    await answer.documents.__anext__()
    await answer.documents.aclose()
    await told(layer, keyed())
    assert inner.asked == 2


async def test_a_key_whose_holder_died_is_taken_over(database_url: str) -> None:
    now = [0.0]
    async with open_database(database_url) as database:
        kept = SqlIdempotency(database, ttl_s=100, term_s=30, clock=lambda: now[0])
        await kept.claim("acme", "k1", "other process", user=None)  # and then it was killed
        inner = Inner()
        layer = Idempotent(inner=inner, kept=kept)
        now[0] = 31.0
        with pytest.raises(IdempotencyConflict):
            await layer.answer(keyed())  # another body
        now[0] = 101.0
        await told(layer, keyed())  # it has expired
        assert inner.asked == 1
