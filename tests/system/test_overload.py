"""More requests than can be served, over real sockets: the admitted are answered, the others told to come back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.leaks import nothing_left_behind
from tests.support.stack import Stack, ask, edge_alone
from tests.support.upstream import Received, answers, completion, fake_upstream, says_nothing

pytestmark = pytest.mark.anyio


async def test_the_admitted_are_answered_and_the_others_told_to_come_back(tmp_path: Path) -> None:
    now, most = 0, 0

    async def takes_a_moment(request: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.5)
        now -= 1
        await answers(completion())(request, writer)

    async with (
        nothing_left_behind(),
        fake_upstream(takes_a_moment) as upstream,
        edge_alone(tmp_path, upstream.url, max_in_flight=4, max_waiting=4, max_wait_ms=100) as stack,
        stack.http(limits=httpx.Limits(max_connections=100)) as client,
    ):

        async def asked(number: int) -> tuple[httpx.Response, float]:
            started = time.perf_counter()
            answer = await client.post("/v1/chat/completions", json=ask(f"question {number}"))
            return answer, time.perf_counter() - started

        told = await asyncio.gather(*map(asked, range(100)))
        assert most <= 4
        answered = [took for answer, took in told if answer.status_code == 200]
        refused = [answer for answer, _ in told if answer.status_code != 200]
        assert len(answered) >= 4
        assert max(answered) < 5
        assert {answer.status_code for answer in refused} == {429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
        page = (await client.get("/metrics")).text
        assert f'wayside_shed_total{{at="upstream"}} {len(refused)}.0' in page
        assert 'wayside_breaker_changes_total{state="open"} 0.0' in page
        for number in range(4):
            assert (await asked(number))[0].status_code == 200


async def test_a_loop_that_stays_late_turns_new_requests_away_but_for_a_few(tmp_path: Path) -> None:
    async def hold_the_loop_up() -> None:
        while True:
            time.sleep(0.03)  # noqa: ASYNC251  # work that does not let go
            await asyncio.sleep(0.001)

    async with (
        nothing_left_behind(),
        fake_upstream(says_nothing) as upstream,
        edge_alone(tmp_path, upstream.url, shed_lag_ms=2, shed_from=1) as stack,
        stack.http() as client,
    ):

        async def ask_one(number: int) -> asyncio.Task[httpx.Response]:
            """Asked, and either answered or on its way to an upstream that never answers."""
            before = len(upstream.received)
            asking = asyncio.create_task(client.post("/v1/chat/completions", json=ask(f"{number}")))
            async with asyncio.timeout(10):
                while not asking.done() and len(upstream.received) == before:
                    await asyncio.sleep(0.01)
            return asking

        def refused(asking: asyncio.Task[httpx.Response]) -> bool:
            return asking.done() and asking.result().status_code == 429

        calm = [await ask_one(number) for number in range(3)]
        assert not any(map(refused, calm))
        holding = asyncio.create_task(hold_the_loop_up())
        await asyncio.sleep(1.5)
        late = [await ask_one(number) for number in range(10, 13)]
        assert [refused(one) for one in late] == [False, True, True]
        assert late[1].result().headers["retry-after"] == "1"
        assert (await client.get("/healthz")).status_code == 200
        await asyncio.sleep(0.7)  # by now the one admitted waits for a model, and is no load
        later = await ask_one(20)
        assert not refused(later)
        holding.cancel()
        for one in (*calm, *late, later):
            one.cancel()
        await asyncio.gather(*calm, *late, later, holding, return_exceptions=True)


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(stack.edge_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_at_the_door_a_request_too_many_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    async with (
        nothing_left_behind(),
        fake_upstream(says_nothing) as upstream,
        edge_alone(tmp_path, upstream.url, max_requests=3) as stack,
        stack.http() as client,
    ):
        hanging = [
            asyncio.create_task(client.post("/v1/chat/completions", json=ask(f"{number}")))
            for number in range(3)
        ]
        async with asyncio.timeout(10):
            while len(upstream.received) < 3:
                await asyncio.sleep(0.01)
        async with connected(stack) as (reader, writer):
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {stack.key}\r\n"
            writer.write(head.encode() + b"content-length: 1000000\r\n\r\n")
            told = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), timeout=2)).lower()
        assert told.startswith(b"http/1.1 429")
        assert b"retry-after: 1" in told
        assert (await client.get("/healthz")).status_code == 200
        assert 'wayside_shed_total{at="door"} 1.0' in (await client.get("/metrics")).text
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        upstream.script = answers(completion())
        async with asyncio.timeout(10):
            while (await client.post("/v1/chat/completions", json=ask())).status_code != 200:
                await asyncio.sleep(0.01)


async def test_a_connection_too_many_is_told_to_come_back_and_closed(tmp_path: Path) -> None:
    async with (
        nothing_left_behind(),
        edge_alone(tmp_path, "http://127.0.0.1:9/v1", max_connections=2) as stack,
    ):
        async with connected(stack), connected(stack), connected(stack) as (reader, _):
            told = await asyncio.wait_for(reader.read(), timeout=5)
        assert told.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1" in told
        async with asyncio.timeout(5), stack.http() as client:
            assert (await client.get("/healthz")).status_code == 200
