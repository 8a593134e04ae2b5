"""The breaker around an upstream: what opens it, and what it leaves alone."""

import asyncio

import pytest

from cloud.wire.errors import DeadlineExceeded, UpstreamBroken, UpstreamRefused, UpstreamUnavailable
from cloud.wire.service.breaker import BreakerLimits, Breakers
from edge.breaker import BreakingUpstream
from tests.support.gated_upstream import GatedUpstream, query, read, settle

pytestmark = pytest.mark.anyio


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Around:
    """A breaker around a gated upstream, with a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.inner = GatedUpstream()
        limits = BreakerLimits(failures=3, cool_down_s=5)
        self.breakers = Breakers(limits, clock=self.clock)
        self.upstream = BreakingUpstream(self.inner, breakers=self.breakers, patience_s=10)

    @property
    def state(self) -> str:
        return self.breakers.of("m").state

    async def fails(self, error: Exception, *, model: str = "m") -> None:
        asking = asyncio.create_task(self.upstream.forward(query(model=model)))
        await settle()
        self.inner.calls[-1].fail(error)
        with pytest.raises(type(error)):
            await asking

    async def breaks_off(self) -> None:
        asking = asyncio.create_task(self.upstream.forward(query(stream=True)))
        await settle()
        self.inner.calls[-1].say(b"{}")
        self.inner.calls[-1].fail(UpstreamBroken("cut"))
        with pytest.raises(UpstreamBroken):
            await read(await asking)

    async def answers(self, *, stream: bool) -> None:
        asking = asyncio.create_task(self.upstream.forward(query(stream=stream)))
        await settle()
        self.inner.calls[-1].say(b"{}")
        self.inner.calls[-1].end()
        await read(await asking)

    async def refuses(self) -> None:
        calls = len(self.inner.calls)
        with pytest.raises(UpstreamUnavailable) as refusal:
            await self.upstream.forward(query())
        assert len(self.inner.calls) == calls
        assert refusal.value.retry_after_s


async def test_three_failures_open_it_and_then_nobody_is_sent_on() -> None:
    around = Around()
    for error in (UpstreamUnavailable("x"), UpstreamBroken("x"), UpstreamRefused(status=503, error={})):
        await around.fails(error)
    for _ in range(10):
        await around.refuses()


async def test_three_streams_cut_in_the_middle_open_it() -> None:
    around = Around()
    for _ in range(3):
        await around.breaks_off()
    await around.refuses()


@pytest.mark.parametrize("stream", [False, True])
async def test_one_whole_answer_starts_the_count_again(stream: bool) -> None:
    around = Around()
    await around.breaks_off()
    await around.breaks_off()
    await around.answers(stream=stream)
    await around.breaks_off()
    await around.breaks_off()
    assert around.state == "closed"


@pytest.mark.parametrize(
    "error",
    [UpstreamRefused(status=400, error={}), UpstreamRefused(status=429, error={}), DeadlineExceeded("x")],
)
async def test_refused_requests_and_short_deadlines_never_open_it(error: Exception) -> None:
    around = Around()
    for _ in range(10):
        await around.fails(error)
    assert around.state == "closed"


async def test_clients_that_leave_never_open_it() -> None:
    around = Around()
    for stream in [False, True] * 5:
        asking = asyncio.create_task(around.upstream.forward(query(stream=stream)))
        await settle()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert around.state == "closed"


async def test_a_stream_that_nobody_reads_to_its_end_says_nothing() -> None:
    around = Around()
    await around.breaks_off()
    await around.breaks_off()
    asking = asyncio.create_task(around.upstream.forward(query(stream=True)))
    await settle()
    around.inner.calls[-1].say(b"{}")
    await (await asking).documents.aclose()
    assert around.inner.calls[-1].was_closed
    await around.breaks_off()
    await around.refuses()


async def test_one_model_that_fails_does_not_close_the_way_to_another() -> None:
    around = Around()
    for _ in range(3):
        await around.fails(UpstreamUnavailable("x"), model="ill")
    await around.answers(stream=False)
    assert around.breakers.of("ill").state == "open"


async def test_the_probe_brings_the_upstream_back() -> None:
    around = Around()
    for _ in range(3):
        await around.breaks_off()
    around.clock.now = 5
    probing = asyncio.create_task(around.upstream.forward(query(stream=True)))
    await settle()
    await around.refuses()
    around.inner.calls[-1].say(b"{}")
    answer = await probing
    await around.answers(stream=True)
    around.inner.calls[-2].end()
    await read(answer)
    assert around.state == "closed"


async def test_a_probe_whose_client_leaves_is_followed_by_another() -> None:
    around = Around()
    for _ in range(3):
        await around.breaks_off()
    around.clock.now = 5
    probing = asyncio.create_task(around.upstream.forward(query()))
    await settle()
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    await around.answers(stream=False)
    assert around.state == "closed"


async def test_readiness_asks_the_upstream_even_while_the_breaker_is_open() -> None:
    around = Around()
    for _ in range(3):
        await around.breaks_off()
    await around.upstream.check()
    assert await around.upstream.models(query().principal, "req_1")
