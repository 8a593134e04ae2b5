"""Identical requests in flight: one call, every waiter's own pace, deadline and departure."""

import asyncio
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cloud.wire.errors import DeadlineExceeded, Overloaded, UpstreamBroken, UpstreamUnavailable
from cloud.wire.service.observe import Tracing
from edge.coalescing import CoalescingUpstream
from edge.domain import Answer, Query
from tests.support.gated_upstream import GatedCall, GatedUpstream, query, read, settle

pytestmark = pytest.mark.anyio


class Around:
    def __init__(self, *, replay_bytes: int = 256 * 1024, tracing: Tracing | None = None) -> None:
        self.collapsed = 0
        self.inner = GatedUpstream()
        self.upstream = CoalescingUpstream(
            self.inner,
            tracing=tracing or Tracing(tracer=None),
            replay_bytes=replay_bytes,
            on_collapsed=self.count,
        )

    def count(self) -> None:
        self.collapsed += 1

    async def asks(self, asked: Query | None = None, **fields: Any) -> "asyncio.Task[Answer]":
        asking = asyncio.create_task(self.upstream.forward(asked or query(**fields)))
        await settle()
        return asking

    async def reads(self, **fields: Any) -> "asyncio.Task[list[bytes]]":
        async def ask_and_read() -> list[bytes]:
            return await read(await self.upstream.forward(query(**fields)))

        reading = asyncio.create_task(ask_and_read())
        await settle()
        return reading

    @property
    def call(self) -> GatedCall:
        (call,) = self.inner.calls
        return call

    def holds_nothing(self) -> bool:
        return not self.upstream._calls and not self.upstream._running


async def left(*tasks: "asyncio.Task[Any]") -> None:
    """Their clients disconnect."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settle()


async def read_into(got: list[bytes], answer: Answer) -> None:
    try:
        async for document in answer.documents:
            got.append(document)
    finally:
        await answer.documents.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hundred_identical_requests_make_one_call_and_get_the_whole_answer(stream: bool) -> None:
    around = Around()
    reading = [await around.reads(stream=stream) for _ in range(100)]
    documents = [b'{"n": %d}' % number for number in range(5 if stream else 1)]
    around.call.say(*documents)
    around.call.end()
    assert await asyncio.gather(*reading) == [documents] * 100
    assert around.collapsed == 99
    assert around.call.was_closed
    await settle()
    assert around.holds_nothing()


async def test_only_those_who_joined_are_marked_and_all_have_the_answers_headers() -> None:
    around = Around()
    asking = [await around.asks(stream=True) for _ in range(3)]
    around.call.say(b"{}")
    told = await asyncio.gather(*asking)
    assert [answer.collapsed for answer in told] == [False, True, True]
    assert all(answer.headers == {"x-ratelimit-limit": "9"} for answer in told)
    assert {answer.route for answer in told} == {"cloud"}
    for answer in told:
        await answer.documents.aclose()


async def test_a_late_joiner_gets_the_stream_from_its_first_document() -> None:
    around = Around()
    first = await around.reads(stream=True)
    around.call.say(b"1", b"2")
    await settle()
    late = await around.reads(stream=True)
    around.call.say(b"3")
    around.call.end()
    assert await first == await late == [b"1", b"2", b"3"]


async def test_a_request_after_the_end_makes_its_own_call() -> None:
    around = Around()
    for number in range(3):
        reading = await around.reads()
        around.inner.calls[-1].say(b"{}")
        around.inner.calls[-1].end()
        await reading
        assert len(around.inner.calls) == number + 1


DIFFERENT: list[dict[str, Any]] = [
    {"tenant": "other"},
    {"text": "hello"},
    {"stream": True},
    {"temperature": 0.5},
    {"unknown_field": 1},
    {"headers": {"wayside-session": "s-2"}},
    {"headers": {"wayside-session": "s-1", "idempotency-key": "k"}},
    {"headers": {"wayside-session": "s-1", "cache-control": "no-cache"}},
    {"headers": {"wayside-session": "s-1", "cache-control": "max-age=5, No-Store"}},
]


@pytest.mark.parametrize("difference", DIFFERENT, ids=str)
async def test_what_differs_in_anything_that_matters_is_asked_on_its_own(difference: dict[str, Any]) -> None:
    around = Around()
    one: dict[str, Any] = {"headers": {"wayside-session": "s-1"}}
    asking = [await around.asks(**one), await around.asks(**{**one, **difference})]
    assert len(around.inner.calls) == 2
    await left(*asking)


@pytest.mark.parametrize("fields", [{"n": 2}, {"headers": {"cache-control": "no-store"}}], ids=str)
async def test_what_asks_for_calls_of_its_own_gets_them(fields: dict[str, Any]) -> None:
    around = Around()
    asking = [await around.asks(**fields) for _ in range(3)]
    assert len(around.inner.calls) == 3
    await left(*asking)


async def test_key_order_and_the_trace_do_not_make_a_request_another_one() -> None:
    around = Around()
    fields: dict[str, Any] = {"temperature": 0.1, "seed": 1, "tools": [], "logit_bias": {"1": 1, "2": 2}}
    turned = dict(reversed([*fields.items()])) | {"logit_bias": {"2": 2, "1": 1}}
    asking = [
        await around.asks(
            **fields, headers={"traceparent": "a", "idempotency-key": "k", "wayside-session": "s"}
        ),
        await around.asks(
            **turned, headers={"wayside-session": "s", "idempotency-key": "k", "traceparent": "b"}
        ),
    ]
    assert len(around.inner.calls) == 1
    await left(*asking)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_when_the_leader_leaves_the_work_goes_on_for_the_others(has_begun: bool) -> None:
    around = Around()
    leader, *others = [await around.reads(stream=True) for _ in range(3)]
    if has_begun:
        around.call.say(b"1")
        await settle()
    await left(leader)
    assert not around.call.was_cancelled
    around.call.say(b"2")
    around.call.end()
    whole = [b"1", b"2"] if has_begun else [b"2"]
    assert [await other for other in others] == [whole, whole]


async def test_a_follower_that_leaves_changes_nothing() -> None:
    around = Around()
    leader, follower = [await around.reads(stream=True) for _ in range(2)]
    around.call.say(b"1")
    await left(follower)
    around.call.say(b"2")
    around.call.end()
    assert await leader == [b"1", b"2"]


@pytest.mark.parametrize("has_begun", [False, True])
async def test_the_last_to_leave_stops_the_call(has_begun: bool) -> None:
    around = Around()
    reading = [await around.reads(stream=True) for _ in range(3)]
    if has_begun:
        around.call.say(b"1")
        await settle()
    cancelled = []
    for one in reading:
        await left(one)
        cancelled.append(around.call.was_cancelled)
    assert cancelled == [False, False, True]
    assert around.call.was_closed is has_begun
    assert around.holds_nothing()


async def test_nobody_joins_a_call_that_is_being_stopped() -> None:
    around = Around()
    leader = await around.reads()
    leader.cancel()
    follower = asyncio.create_task(around.upstream.forward(query()))
    await settle()
    assert len(around.inner.calls) == 2
    around.inner.calls[1].say(b"{}")
    around.inner.calls[1].end()
    assert await read(await follower) == [b"{}"]
    await left(leader)


async def test_an_error_before_the_first_document_is_everybodys_and_nobody_calls_again() -> None:
    around = Around()
    asking = [await around.asks() for _ in range(50)]
    around.call.fail(UpstreamUnavailable("down", retry_after_s=7))
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(error, UpstreamUnavailable) and error.retry_after_s == 7 for error in errors)
    assert len(around.inner.calls) == 1
    await settle()
    assert around.holds_nothing()


async def test_an_error_in_mid_stream_reaches_every_reader_after_what_came_before_it() -> None:
    around = Around()
    asking = [await around.asks(stream=True) for _ in range(3)]
    around.call.say(b"1", b"2")
    around.call.fail(UpstreamBroken("cut"))
    for answer in await asyncio.gather(*asking):
        got: list[bytes] = []
        with pytest.raises(UpstreamBroken):
            await read_into(got, answer)
        assert got == [b"1", b"2"]


async def test_an_error_of_ours_reaches_every_waiter_too() -> None:
    around = Around()
    asking = [await around.asks() for _ in range(3)]
    around.call.fail(ZeroDivisionError())
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 3


async def test_a_follower_with_less_time_gives_up_alone() -> None:
    around = Around()
    leader = await around.reads(stream=True)
    follower = await around.reads(stream=True, within_s=0.05)
    assert len(around.inner.calls) == 1
    with pytest.raises(DeadlineExceeded):
        await follower
    around.call.say(b"1")
    around.call.end()
    assert await leader == [b"1"]


async def test_a_follower_with_much_more_time_calls_on_its_own() -> None:
    around = Around()
    asking = [await around.asks(within_s=5), await around.asks(within_s=30)]
    assert len(around.inner.calls) == 2
    await left(*asking)


async def test_a_follower_with_a_little_more_time_joins_and_calls_again_when_the_calls_time_is_up() -> None:
    around = Around()
    leader, follower = await around.asks(within_s=10), await around.asks(within_s=10.5)
    around.call.fail(DeadlineExceeded("late"))
    await settle()
    with pytest.raises(DeadlineExceeded):
        await leader
    assert len(around.inner.calls) == 2
    around.inner.calls[1].say(b"{}")
    assert not (await follower).collapsed
    await left()
    await (await follower).documents.aclose()


async def test_nobody_joins_a_stream_that_is_longer_than_its_buffer() -> None:
    around = Around(replay_bytes=10)
    first = await around.reads(stream=True)
    around.call.say(b"12345", b"67890")
    await settle()
    joins = await around.reads(stream=True)
    around.call.say(b"!")
    await settle()
    own = await around.reads(stream=True)
    assert len(around.inner.calls) == 2
    around.inner.calls[0].end()
    assert await first == await joins == [b"12345", b"67890", b"!"]
    await left(own)


KIB = b"x" * 1024


async def test_a_slow_reader_does_not_hold_the_others_back_and_is_let_go_in_the_end() -> None:
    around = Around(replay_bytes=128 * 1024)
    fast = await around.reads(stream=True)
    slow = await around.asks(stream=True)
    around.call.say(KIB)
    answer = await slow
    around.call.say(*[KIB] * 1023)
    around.call.end()
    assert len(await fast) == 1024
    got: list[bytes] = []
    with pytest.raises(Overloaded) as refusal:
        await read_into(got, answer)
    assert refusal.value.code == "reader_too_slow"
    assert not got


async def test_one_slow_reader_slows_the_upstream_instead_of_filling_the_memory() -> None:
    around = Around()
    asking = await around.asks(stream=True)
    around.call.say(*[KIB] * 1000)
    around.call.end()
    answer = await asking
    await settle()
    assert around.call.was_read == 65
    assert await read(answer) == [KIB] * 1000


async def test_a_reader_a_little_behind_misses_nothing() -> None:
    around = Around(replay_bytes=128 * 1024)
    fast = await around.asks(stream=True)
    slow = await around.asks(stream=True)
    around.call.say(*[b"%04d" % number * 256 for number in range(600)])
    around.call.end()
    ahead, behind = (await fast).documents, (await slow).documents
    got: list[bytes] = []
    async for document in ahead:
        await asyncio.sleep(0)
        if int(document[:4]) >= 150:
            got.append(await anext(behind))
    got += [document async for document in behind]
    assert [int(document[:4]) for document in got] == [*range(600)]


async def test_a_reader_that_stops_reading_for_ever_costs_no_more_than_the_deadline() -> None:
    around = Around()
    asking = await around.asks(stream=True, within_s=0.1)
    around.call.say(*[KIB] * 200)
    await asking
    await asyncio.sleep(0.3)
    assert around.call.was_closed
    assert around.holds_nothing()


async def test_closing_stops_what_is_under_way() -> None:
    around = Around()
    asking = [await around.asks(stream=stream) for stream in (False, True)]
    await around.upstream.aclose()
    assert all(call.was_cancelled for call in around.inner.calls)
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(error) for error in errors] == [UpstreamUnavailable] * 2
    assert around.holds_nothing()


async def test_those_who_join_point_at_the_span_that_does_the_work() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    around = Around(tracing=Tracing(tracer=tracer))

    async def request(name: str) -> None:
        with tracer.start_as_current_span(name):
            await read(await around.upstream.forward(query()))

    tasks = [asyncio.create_task(request(name)) for name in ("leader", "follower")]
    await settle()
    around.call.say(b"{}")
    around.call.end()
    await asyncio.gather(*tasks)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    (link,) = spans["follower"].links
    leader = spans["leader"].context
    assert leader is not None
    assert link.context.span_id == leader.span_id
    assert not spans["leader"].links
