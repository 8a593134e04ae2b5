"""Identical requests at the same time, over real sockets: one upstream call, whole answers for all."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from cloud.wire.service.keyfile import KeyFile
from tests.support.leaks import nothing_left_behind
from tests.support.stack import ask, edge_alone
from tests.support.upstream import (
    Received,
    Script,
    answers,
    by_request,
    chunk,
    completion,
    fake_upstream,
    streams,
)

pytestmark = pytest.mark.anyio

EVENTS = [chunk(""), *[chunk(f"word{number} ") for number in range(40)], chunk(finish_reason="stop")]
MANY = httpx.Limits(max_connections=200, max_keepalive_connections=200)


def gated(gate: asyncio.Event, script: Script) -> Script:
    async def wait_and_answer(request: Received, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await script(request, writer)

    return wait_and_answer


async def metric(client: httpx.AsyncClient, name: str) -> float:
    page = (await client.get("/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))


async def until(client: httpx.AsyncClient, name: str, value: float) -> None:
    async with asyncio.timeout(20):
        while await metric(client, name) != value:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hundred_identical_requests_make_one_upstream_call(tmp_path: Path, stream: bool) -> None:
    gate = asyncio.Event()
    script = gated(gate, by_request(answers(completion("the answer")), streams(*EVENTS)))
    async with (
        nothing_left_behind(),
        fake_upstream(script) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http(limits=MANY) as client,
    ):
        body = ask("the same question", stream=stream)
        asking = [asyncio.create_task(client.post("/v1/chat/completions", json=body)) for _ in range(100)]
        await until(client, "wayside_collapsed_total", 99)
        gate.set()
        told = await asyncio.gather(*asking)
        assert len(upstream.received) == 1
        assert await metric(client, "wayside_requests_in_flight") == 1
    assert {answer.status_code for answer in told} == {200}
    assert len({answer.headers["x-request-id"] for answer in told}) == 100
    assert sum("; collapsed" in answer.headers["cache-status"] for answer in told) == 99
    assert len({answer.text for answer in told}) == 1
    if stream:
        *events, done = [line.removeprefix("data: ") for line in told[0].text.splitlines() if line]
        assert [msgspec.json.decode(event) for event in events] == EVENTS
        assert done == "[DONE]"
    else:
        assert told[0].json() == completion("the answer")


async def test_those_who_come_late_get_the_stream_from_its_start(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def script(request: Received, writer: asyncio.StreamWriter) -> None:
        await streams(*EVENTS[:3], done=False, then="open")(request, writer)

    async def in_two_parts(request: Received, writer: asyncio.StreamWriter) -> None:
        halves = asyncio.create_task(script(request, writer))
        await gate.wait()
        halves.cancel()
        for event in [*map(msgspec.json.encode, EVENTS[3:]), b"[DONE]"]:
            frame = b"data: " + event + b"\n\n"
            writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        writer.write(b"0\r\n\r\n")

    async with (
        nothing_left_behind(),
        fake_upstream(in_two_parts) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http(limits=MANY) as client,
    ):
        request: dict[str, Any] = {"json": ask(stream=True)}
        async with client.stream("POST", "/v1/chat/completions", **request) as first:
            parts = first.aiter_text()
            begun = ""
            while "word1" not in begun:
                begun += await anext(parts)
            late = [asyncio.create_task(client.post("/v1/chat/completions", **request)) for _ in range(5)]
            await until(client, "wayside_collapsed_total", 5)
            gate.set()
            whole = begun + "".join([part async for part in parts])
        assert {answer.text for answer in await asyncio.gather(*late)} == {whole}
        assert whole.endswith("data: [DONE]\n\n")
        assert len(upstream.received) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_first_client_leaves_the_others_still_get_the_whole_answer(
    tmp_path: Path, stream: bool
) -> None:
    gate = asyncio.Event()
    script = gated(gate, by_request(answers(completion()), streams(*EVENTS)))
    async with (
        nothing_left_behind(),
        fake_upstream(script) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        body = ask(stream=stream)
        leader = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        while not upstream.received:
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(client.post("/v1/chat/completions", json=body)) for _ in range(5)]
        await until(client, "wayside_collapsed_total", 5)
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        while "client_closed_request" not in stack.edge.out.getvalue():
            await asyncio.sleep(0.01)
        gate.set()
        for answer in await asyncio.gather(*others):
            assert answer.text.endswith("data: [DONE]\n\n") if stream else answer.json() == completion()
        assert len(upstream.received) == 1
        assert not upstream.hung_up.is_set()


async def test_when_the_last_client_leaves_the_upstream_call_is_stopped_within_a_second(
    tmp_path: Path,
) -> None:
    async with (
        nothing_left_behind(),
        fake_upstream(streams(chunk("a"), then="stall", done=False)) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        asking = [
            asyncio.create_task(client.post("/v1/chat/completions", json=ask(stream=True))) for _ in range(5)
        ]
        await until(client, "wayside_collapsed_total", 4)
        for task in asking[:4]:
            task.cancel()
        await asyncio.gather(*asking[:4], return_exceptions=True)
        await asyncio.sleep(0.3)
        assert not upstream.hung_up.is_set()
        asking[4].cancel()
        await asyncio.gather(asking[4], return_exceptions=True)
        await asyncio.wait_for(upstream.hung_up.wait(), timeout=1)
        await until(client, "wayside_requests_in_flight", 1)


async def test_a_client_that_does_not_read_holds_nobody_back_and_is_cut_off_with_an_error(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()
    many = [chunk("x" * 64 * 1024) for _ in range(200)]
    async with (
        nothing_left_behind(),
        fake_upstream(gated(gate, streams(*many, chunk(finish_reason="stop")))) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        request = client.build_request("POST", "/v1/chat/completions", json=ask(stream=True))
        asking = [asyncio.create_task(client.send(request, stream=True)) for _ in range(2)]
        await until(client, "wayside_collapsed_total", 1)
        gate.set()
        reading, idle = await asyncio.gather(*asking)
        size, end = 0, b""
        async for part in reading.aiter_bytes():
            size, end = size + len(part), (end + part)[-20:]
        assert size > 200 * 64 * 1024
        assert end.endswith(b"data: [DONE]\n\n")
        told = await idle.aread()
        assert len(upstream.received) == 1
    assert b'"reader_too_slow"' in told[-500:]
    assert b"[DONE]" not in told[-500:]


async def test_two_tenants_never_share_a_call(tmp_path: Path) -> None:
    gate = asyncio.Event()
    other = KeyFile(tmp_path / "edge-keys.json").add(tenant="other")
    async with (
        nothing_left_behind(),
        fake_upstream(gated(gate, answers(completion()))) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        theirs = {"authorization": f"Bearer {other}"}
        asking = [
            asyncio.create_task(client.post("/v1/chat/completions", json=ask(), headers=headers))
            for headers in ({}, {}, theirs, theirs)
        ]
        await until(client, "wayside_collapsed_total", 2)
        gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
    assert sorted(request.headers["wayside-tenant"] for request in upstream.received) == ["acme", "other"]


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        nothing_left_behind(),
        fake_upstream(gated(gate, answers(completion()))) as upstream,
        edge_alone(tmp_path, upstream.url, coalesce=False) as stack,
        stack.http() as client,
    ):
        asking = [asyncio.create_task(client.post("/v1/chat/completions", json=ask())) for _ in range(3)]
        async with asyncio.timeout(10):
            while len(upstream.received) < 3:
                await asyncio.sleep(0.01)
        gate.set()
        await asyncio.gather(*asking)
