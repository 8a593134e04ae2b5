"""The open loop keeps its schedule: a server that stalls is charged for all who wait behind it."""

import asyncio

import uvloop

from bench.load import Job
from bench.open_load import Offered, OpenJob, OpenRun
from bench.upstream import StaticUpstream, completion

GOOD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
FULL_WITHOUT_A_WORD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


def offered(port: int, *, connections: int = 8, rate: float = 200, seconds: float = 0.5) -> OpenRun:
    job = Job(
        port=port,
        headers={},
        model="static",
        questions="short",
        streaming="never",
        connections=connections,
        warmup=0,
        requests=0,
    )
    return OpenRun(OpenJob(job=job, rate=rate, seconds=seconds))


def against(answer: bytes, *, after_s: float = 0.0) -> Offered:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                await asyncio.sleep(after_s)
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()

    async def scenario() -> Offered:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await offered(server.sockets[0].getsockname()[1], connections=1, rate=50).offer()

    return uvloop.run(scenario())


def test_every_request_offered_is_accounted_for() -> None:
    async def scenario() -> Offered:
        server = await asyncio.get_running_loop().create_server(StaticUpstream, "127.0.0.1", 0)
        async with server:
            return await offered(server.sockets[0].getsockname()[1]).offer()

    found = uvloop.run(scenario())
    assert found.offered > 0
    assert (len(found.admitted_us), found.refused_us, found.others) == (found.offered, [], {})


def test_latency_runs_from_when_a_request_was_due() -> None:
    body = completion()
    found = against(GOOD % (len(body), body), after_s=0.1)
    # Some 25 requests share one connection that takes 0.1 s each: the last waited for nearly all others.
    assert len(found.admitted_us) == found.offered
    assert max(found.admitted_us) > 5 * min(found.admitted_us)


def test_a_refusal_counts_as_one_only_if_it_says_when_to_come_back() -> None:
    told, silent = against(FULL), against(FULL_WITHOUT_A_WORD)
    assert (len(told.refused_us), told.others) == (told.offered, {})
    assert (silent.refused_us, sum(silent.others.values())) == ([], silent.offered)
