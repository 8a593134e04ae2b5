"""The bound on forwarded requests: a short queue, and a quick word to everybody else."""

import asyncio
import time

import pytest

from cloud.wire.errors import DeadlineExceeded, Overloaded, UpstreamBroken
from edge.domain import Answer
from edge.shedding import SheddingUpstream
from tests.support.gated_upstream import GatedUpstream, query, read, settle

pytestmark = pytest.mark.anyio


class Around:
    def __init__(self, *, max_in_flight: int = 2, max_waiting: int = 2, max_wait_s: float = 5.0) -> None:
        self.shed = 0
        self.inner = GatedUpstream()
        self.upstream = SheddingUpstream(
            self.inner,
            max_in_flight=max_in_flight,
            max_waiting=max_waiting,
            max_wait_s=max_wait_s,
            on_shed=self.count,
        )

    def count(self) -> None:
        self.shed += 1

    async def asks(self, *, stream: bool = False, within_s: float = 30) -> "asyncio.Task[Answer]":
        asking = asyncio.create_task(self.upstream.forward(query(stream=stream, within_s=within_s)))
        await settle()
        return asking

    def answers(self, call: int) -> None:
        self.inner.calls[call].say(b"{}")
        self.inner.calls[call].end()

    async def has_every_place_free(self) -> bool:
        asked = len(self.inner.calls)
        asking = [await self.asks() for _ in range(2)]
        for call in range(asked, asked + 2):
            self.answers(call)
        await asyncio.gather(*asking)
        return True


async def test_only_so_many_are_forwarded_and_the_next_goes_when_one_is_done() -> None:
    around = Around()
    asking = [await around.asks() for _ in range(4)]
    assert len(around.inner.calls) == 2
    around.answers(0)
    await settle()
    assert len(around.inner.calls) == 3
    around.answers(1)
    around.answers(2)
    await settle()
    around.answers(3)
    await asyncio.gather(*asking)
    assert await around.has_every_place_free()


async def test_beyond_the_queue_everybody_is_told_at_once_to_come_back() -> None:
    around = Around()
    asking = [await around.asks() for _ in range(4)]
    started = time.perf_counter()
    for _ in range(100):
        with pytest.raises(Overloaded) as refusal:
            await around.upstream.forward(query())
        assert refusal.value.retry_after_s
    assert time.perf_counter() - started < 0.5
    assert around.shed == 100
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert await around.has_every_place_free()


async def test_nobody_waits_longer_than_the_longest_wait() -> None:
    around = Around(max_in_flight=1, max_wait_s=0.05)
    first, second = await around.asks(), await around.asks()
    with pytest.raises(Overloaded):
        await second
    around.answers(0)
    await first
    assert len(around.inner.calls) == 1


async def test_a_deadline_ends_the_wait_as_a_deadline() -> None:
    around = Around(max_in_flight=1)
    first, second = await around.asks(), await around.asks(within_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await second
    around.answers(0)
    await first
    assert around.shed == 0


async def test_a_stream_keeps_its_place_until_it_is_closed() -> None:
    around = Around(max_in_flight=1)
    streaming = await around.asks(stream=True)
    around.inner.calls[0].say(b"{}")
    answer = await streaming
    waiting = await around.asks()
    assert len(around.inner.calls) == 1
    around.inner.calls[0].end()
    await read(answer)
    await answer.documents.aclose()
    await settle()
    around.answers(1)
    await waiting
    assert len(around.inner.calls) == 2


async def test_those_who_leave_the_queue_leave_their_place_to_others() -> None:
    around = Around(max_in_flight=1)
    first, second, third = await around.asks(), await around.asks(), await around.asks()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    around.answers(0)
    await first
    await settle()
    around.answers(1)
    await third


async def test_a_turn_that_comes_as_its_owner_leaves_is_passed_on() -> None:
    around = Around(max_in_flight=1)
    first, second, third = await around.asks(stream=True), await around.asks(), await around.asks()
    around.inner.calls[0].say(b"{}")
    await (await first).documents.aclose()  # hands its place to the second, who has not run yet
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await settle()
    around.answers(1)
    await third


async def test_a_failed_call_frees_its_place() -> None:
    around = Around()
    for _ in range(10):
        asking = await around.asks()
        around.inner.calls[-1].fail(UpstreamBroken("x"))
        with pytest.raises(UpstreamBroken):
            await asking
    assert await around.has_every_place_free()
