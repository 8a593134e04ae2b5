"""The load generator against servers that answer well, badly, half, and not at all."""

import asyncio
from contextlib import suppress
from typing import Any

import uvloop

from bench.load import Job, Run
from bench.questions import Streaming, questions
from bench.truth import Route
from bench.upstream import StaticUpstream, completion, events


def job(
    port: int,
    *,
    requests: int = 20,
    streaming: Streaming = "never",
    answer_limit_s: float = 5.0,
    served: Route | None = None,
) -> Job:
    return Job(
        port=port,
        headers={"authorization": "Bearer x"},
        model="static",
        questions="fixed",
        streaming=streaming,
        connections=4,
        warmup=0,
        requests=requests,
        limit_s=20.0,
        answer_limit_s=answer_limit_s,
        served=served,
    )


async def sent(asked: Job) -> Run:
    asks = questions(asked.questions, model=asked.model, streaming=asked.streaming, seed=0)
    run = Run(asked, asks, asked.requests, asked.limit_s)
    async with asyncio.timeout(20):
        await run.over()
    return run


def kinds(run: Run) -> set[str]:
    return {fault.kind for fault in run.faults}


def against_static(**changes: Any) -> Run:
    async def scenario() -> Run:
        server = await asyncio.get_running_loop().create_server(StaticUpstream, "127.0.0.1", 0)
        async with server:
            return await sent(job(server.sockets[0].getsockname()[1], **changes))

    return uvloop.run(scenario())


def against(answer: bytes, *, hangs: bool = False, **changes: Any) -> Run:
    """A server that reads one request's head, says `answer`, and closes the connection or hangs."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # a connection that was opened and not used
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if hangs:
            await reader.read()  # the body of the request
            await reader.read()
        writer.close()

    async def scenario() -> Run:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await sent(job(server.sockets[0].getsockname()[1], **changes))

    return uvloop.run(scenario())


def plain(body: bytes, *, length: int) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    return head.encode() + body


def chunked(*parts: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
    return (
        head
        + b"transfer-encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    )


def test_every_answer_of_the_static_upstream_is_whole() -> None:
    run = against_static(requests=300, streaming="half")
    assert run.done == 300
    assert not run.faults


def test_more_connections_than_requests_come_to_an_end() -> None:
    assert against_static(requests=2).done == 2


def test_a_body_cut_by_a_closed_connection_is_half_an_answer_every_time() -> None:
    run = against(plain(completion()[:50], length=len(completion())))
    assert kinds(run) == {"half"}
    assert run.faults.total() == run.done == 20


def test_a_stream_that_ends_properly_without_done_is_half_an_answer() -> None:
    run = against(chunked(*events()[:-1]) + b"0\r\n\r\n", streaming="always")
    assert kinds(run) == {"half"}
    assert run.faults.total() == 20


def test_a_stream_with_done_whose_connection_breaks_is_half_an_answer() -> None:
    run = against(chunked(*events()), streaming="always")
    assert kinds(run) == {"half"}
    assert run.faults.total() == 20


def test_a_server_that_closes_without_a_word_loses_every_request() -> None:
    run = against(b"")
    assert kinds(run) == {"lost"}
    assert run.faults.total() == run.done == 20


def test_a_server_that_hangs_loses_the_request_in_bounded_time() -> None:
    run = against(b"HTTP/1.1 200 OK\r\n", hangs=True, requests=4, answer_limit_s=0.1)
    assert run.faults.total() == run.done == 4


def test_an_error_status_is_counted_as_refused() -> None:
    run = against(b"HTTP/1.1 503 Nope\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    assert kinds(run) == {"refused"}


def test_nobody_listening_loses_every_request() -> None:
    run = uvloop.run(sent(job(1, requests=8)))
    assert kinds(run) == {"lost"}
    assert run.faults.total() == run.done == 8


def test_a_right_answer_from_elsewhere_is_a_fault_where_the_route_matters() -> None:
    body = completion()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    cached = "wayside-route: cache\r\ncache-status: wayside; hit; ttl=9; detail=semantic\r\n\r\n"
    forwarded = "Wayside-Route: cloud\r\n\r\n"

    def answered(telling: str) -> Run:
        return against((head + telling).encode() + body, requests=1, served="semantic")

    assert kinds(answered(cached)) == set()
    assert kinds(answered(forwarded)) == {"elsewhere"}
