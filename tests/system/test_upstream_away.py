"""An upstream that fails, over real sockets: quick refusals, no calls, and the way back."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cloud.wire.service.observe import Tracing
from tests.support.leaks import nothing_left_behind
from tests.support.serving import Watched
from tests.support.stack import ECHO, ask, edge_alone, openai_provider, running
from tests.support.upstream import (
    Received,
    Script,
    answers,
    by_request,
    chunk,
    completion,
    fake_upstream,
    hangs_up,
    says_nothing,
    streams,
)

pytestmark = pytest.mark.anyio

WHOLE = by_request(answers(completion()), streams(chunk("a"), chunk(finish_reason="stop")))
CUT = streams(chunk("a"), done=False, then="cut")
DYING: dict[str, tuple[Script, bool, list[int]]] = {
    "resets": (hangs_up, False, [502, 503]),
    "is silent": (says_nothing, False, [503]),
    "is silent in mid stream": (streams(chunk("a"), done=False, then="stall"), True, [200]),
    "cuts its streams": (CUT, True, [200]),
    "answers 500": (answers({"error": {"message": "x"}}, status=500), False, [502]),
    "answers 503": (answers({"error": {"message": "x"}}, status=503), True, [503]),
    "sends nonsense": (answers(b"<html>"), False, [502]),
}
QUICK: dict[str, Any] = {"upstream_first_byte_timeout_s": 0.2, "upstream_stall_timeout_s": 0.2}


async def asked(client: httpx.AsyncClient, number: int, *, stream: bool = False) -> httpx.Response:
    """Every question another one, so that none joins another's call."""
    return await client.post("/v1/chat/completions", json=ask(f"question {number}", stream=stream))


@pytest.mark.parametrize("how", DYING)
async def test_exactly_three_failures_open_the_breaker_and_then_refusals_are_quick_and_make_no_call(
    tmp_path: Path, how: str
) -> None:
    script, stream, statuses = DYING[how]
    async with (
        nothing_left_behind(),
        fake_upstream(script) as upstream,
        edge_alone(tmp_path, upstream.url, breaker_cool_down_s=60.0, **QUICK) as stack,
        stack.http() as client,
    ):
        for number in range(3):
            assert (await asked(client, number, stream=stream)).status_code in statuses
            assert len(upstream.received) == number + 1
        took = []
        for number in range(200):
            started = time.perf_counter()
            answer = await asked(client, number, stream=stream)
            took.append(time.perf_counter() - started)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "upstream_unavailable"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        page = (await client.get("/metrics")).text
        assert len(upstream.received) == 3
    assert sorted(took)[197] <= 0.15
    assert 'wayside_breakers{state="open"} 1.0' in page
    assert 'wayside_breaker_changes_total{state="open"} 1.0' in page
    assert '"event":"breaker","model":"auto","before":"closed","after":"open"' in stack.edge.out.getvalue()


async def test_the_request_that_opens_the_breaker_says_so_on_its_span(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watched = Watched(tracing=Tracing(tracer=provider.get_tracer("test")))
    async with (
        nothing_left_behind(),
        fake_upstream(hangs_up) as upstream,
        edge_alone(tmp_path, upstream.url, edge=watched) as stack,
        stack.http() as client,
    ):
        for number in range(4):
            await asked(client, number)
    requests = [span for span in exporter.get_finished_spans() if span.parent is None]
    told = [[dict(event.attributes or {}) for event in span.events] for span in requests]
    assert told == [[], [], [{"before": "closed", "after": "open"}], []]


async def test_with_nobody_listening_refusals_are_quick_as_well(tmp_path: Path) -> None:
    async with (
        nothing_left_behind(),
        edge_alone(tmp_path, "http://127.0.0.1:9/v1") as stack,
        stack.http(limits=httpx.Limits(max_connections=32)) as client,
    ):
        for number in range(3):
            assert (await asked(client, number)).status_code == 503

        async def refused(number: int) -> float:
            started = time.perf_counter()
            answer = await asked(client, number)
            took = time.perf_counter() - started
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            return took

        p99 = []
        for _ in range(3):  # whatever else the machine does only ever adds: the best of three is ours
            took = []
            for _ in range(20):
                took += await asyncio.gather(*map(refused, range(8)))
            p99.append(sorted(took)[int(len(took) * 0.99)])
    assert min(p99) <= 0.15


async def test_after_the_cool_down_one_probe_finds_the_upstream_well_and_all_go_on(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def well_in_a_moment(request: Received, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await WHOLE(request, writer)

    async with (
        nothing_left_behind(),
        fake_upstream(hangs_up) as upstream,
        edge_alone(tmp_path, upstream.url, breaker_cool_down_s=0.5) as stack,
        stack.http() as client,
    ):
        for number in range(3):
            await asked(client, number)
        upstream.script = well_in_a_moment
        assert (await asked(client, 3)).status_code == 503
        await asyncio.sleep(0.5)
        probe = asyncio.create_task(asked(client, 4))
        async with asyncio.timeout(5):
            while len(upstream.received) < 4:
                await asyncio.sleep(0.01)
        others = await asyncio.gather(*(asked(client, 100 + number) for number in range(20)))
        assert {answer.status_code for answer in others} == {503}
        assert len(upstream.received) == 4
        gate.set()
        assert (await probe).status_code == 200
        assert {(await asked(client, number)).status_code for number in range(5)} == {200}
        assert 'wayside_breakers{state="open"} 0.0' in (await client.get("/metrics")).text


async def test_a_probe_that_fails_keeps_the_breaker_open_for_longer(tmp_path: Path) -> None:
    async with (
        nothing_left_behind(),
        fake_upstream(hangs_up) as upstream,
        edge_alone(tmp_path, upstream.url, breaker_cool_down_s=0.3) as stack,
        stack.http() as client,
    ):
        for number in range(3):
            await asked(client, number)
        upstream.received.clear()
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            await asked(client, 9)
            await asyncio.sleep(0.01)
        # At 0.3 s, and then 0.6, 1.2 later; the next would come at 4.5 s.
        assert 1 <= len(upstream.received) <= 3


async def test_a_probe_whose_client_leaves_does_not_keep_the_breaker_open(tmp_path: Path) -> None:
    async with (
        nothing_left_behind(),
        fake_upstream(hangs_up) as upstream,
        edge_alone(tmp_path, upstream.url, breaker_cool_down_s=0.3) as stack,
        stack.http() as client,
    ):
        for number in range(3):
            await asked(client, number)
        upstream.script = says_nothing
        await asyncio.sleep(0.3)
        probe = asyncio.create_task(asked(client, 4))
        while len(upstream.received) < 4:
            await asyncio.sleep(0.01)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        await asyncio.wait_for(upstream.hung_up.wait(), timeout=2)
        upstream.script = WHOLE
        async with asyncio.timeout(2):
            while (await asked(client, 5)).status_code != 200:
                await asyncio.sleep(0.01)


async def test_bad_requests_and_short_deadlines_leave_the_breaker_closed(tmp_path: Path) -> None:
    refuses = answers({"error": {"message": "no"}}, status=400)
    async with (
        nothing_left_behind(),
        fake_upstream(refuses) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        assert {(await asked(client, number)).status_code for number in range(6)} == {400}
        upstream.script = says_nothing
        short = {"wayside-deadline-ms": "50"}
        for number in range(6):
            body = ask(f"short {number}", stream=bool(number % 2))
            answer = await client.post("/v1/chat/completions", json=body, headers=short)
            assert answer.status_code == 504
        upstream.script = WHOLE
        assert (await asked(client, 7)).status_code == 200


async def test_short_deadlines_through_edge_and_cloud_leave_the_breaker_closed(tmp_path: Path) -> None:
    slow = ECHO.replace('kind = "scripted"', 'kind = "scripted"\ntokens_per_s = 50')
    async with nothing_left_behind(), running(tmp_path, providers=slow) as stack, stack.http() as client:
        short = {"wayside-deadline-ms": "300"}
        for number in range(6):
            body = ask("word " * 50 + str(number), stream=bool(number % 2))
            await client.post("/v1/chat/completions", json=body, headers=short)
        assert (await asked(client, 7)).status_code == 200


async def test_one_provider_that_is_down_does_not_close_the_way_to_the_others(tmp_path: Path) -> None:
    async with (
        nothing_left_behind(),
        fake_upstream(hangs_up) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url) + ECHO) as stack,
        stack.http() as client,
    ):
        for number in range(6):
            answer = await client.post("/v1/chat/completions", json=ask(f"{number}", model="m"))
            assert answer.status_code in (502, 503)
        answer = await client.post("/v1/chat/completions", json=ask(model="echo"))
        assert answer.status_code == 200
        assert len(upstream.received) == 3


async def test_a_reset_on_a_connection_that_worked_before_is_told_and_never_tried_again(
    tmp_path: Path,
) -> None:
    async with (
        nothing_left_behind(),
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        assert (await asked(client, 1)).status_code == 200
        assert upstream.open_connections == 1
        upstream.script = hangs_up
        assert (await asked(client, 2)).status_code in (502, 503)
        assert len(upstream.received) == 2
