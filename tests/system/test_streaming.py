"""Streams over real sockets: pace, disconnects, cuts, deadlines."""

import asyncio
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from tests.support.stack import ask, edge_alone, openai_provider, running
from tests.support.upstream import answers, chunk, completion, fake_upstream, hangs_up, says_nothing, streams

pytestmark = pytest.mark.anyio

WHOLE = [chunk(""), chunk("Hel"), chunk("lo"), chunk(finish_reason="stop")]


async def test_the_first_token_does_not_wait_for_the_last(tmp_path: Path) -> None:
    async with (
        fake_upstream(streams(chunk("first"), then="stall", done=False)) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
        client.stream("POST", "/v1/chat/completions", json=ask(model="m", stream=True)) as answer,
    ):
        assert b"first" in await anext(answer.aiter_bytes())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_stops_the_work_at_the_provider_within_a_second(
    tmp_path: Path, stream: bool
) -> None:
    script = streams(chunk("a"), then="stall", done=False) if stream else says_nothing
    async with (
        fake_upstream(script) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
    ):

        async def ask_and_read() -> None:
            async with client.stream(
                "POST", "/v1/chat/completions", json=ask(model="m", stream=stream)
            ) as answer:
                await answer.aread()

        asking = asyncio.create_task(ask_and_read())
        while not upstream.received:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(upstream.hung_up.wait(), timeout=1)
        async with asyncio.timeout(2):
            while not all(
                "client_closed_request" in side.out.getvalue() for side in (stack.edge, stack.cloud)
            ):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("then", ["cut", "end"])
@pytest.mark.parametrize("sent", [1, 2, 3])
async def test_a_stream_cut_short_ends_in_an_error_never_in_done(
    tmp_path: Path, then: str, sent: int
) -> None:
    async with (
        fake_upstream(streams(*WHOLE[:sent], done=False, then=then)) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=ask(model="m", stream=True))
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert "[DONE]" not in events
    assert msgspec.json.decode(events[-1])["error"]["code"] == "upstream_broken"
    assert '"error":"upstream_broken"' in stack.edge.out.getvalue()


async def test_a_stream_whose_choices_all_finished_is_whole_even_without_done(tmp_path: Path) -> None:
    async with (
        fake_upstream(streams(*WHOLE, done=False)) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=ask(model="m", stream=True))
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_a_malformed_event_ends_the_stream_in_an_error(tmp_path: Path) -> None:
    async with (
        fake_upstream(streams(chunk("a"), b'{"choices": [', chunk(finish_reason="stop"))) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=ask(stream=True))
    assert "[DONE]" not in answer.text
    assert "not a chat completion" in answer.text


async def test_an_error_event_of_the_provider_stays_an_error(tmp_path: Path) -> None:
    async with (
        fake_upstream(streams(chunk("a"), {"error": {"message": "GPU on fire"}})) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=ask(model="m", stream=True))
    assert "[DONE]" not in answer.text
    assert "GPU on fire" in answer.text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_deadline_shrinks_at_each_hop_and_is_kept(tmp_path: Path, stream: bool) -> None:
    async with (
        fake_upstream(says_nothing) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http(headers={"wayside-deadline-ms": "300"}) as client,
    ):
        started = time.monotonic()
        answer = await client.post("/v1/chat/completions", json=ask(stream=stream))
        took = time.monotonic() - started
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert 0.25 < took < 2
    assert 0 < int(upstream.received[0].headers["wayside-deadline-ms"]) <= 300


async def test_a_deadline_that_passes_in_mid_stream_ends_it_in_an_error(tmp_path: Path) -> None:
    slow = (
        '[providers.slow]\nkind = "scripted"\ntokens_per_s = 20\n[[models]]\nname = "slow"\nprovider = "slow"'
    )
    async with running(tmp_path, providers=slow) as stack, stack.http() as client:
        body = ask("word " * 100, stream=True)
        answer = await client.post("/v1/chat/completions", json=body, headers={"wayside-deadline-ms": "500"})
    assert '"You"' in answer.text
    assert "deadline_exceeded" in answer.text
    assert "[DONE]" not in answer.text


async def test_without_the_cloud_the_answer_is_a_503_that_says_when_to_retry(tmp_path: Path) -> None:
    async with edge_alone(tmp_path, "http://127.0.0.1:9/v1") as stack, stack.http() as client:
        started = time.monotonic()
        answer = await client.post("/v1/chat/completions", json=ask())
        ready = await client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - started < 2
    assert ready.status_code == 503
    assert ready.json()["dependencies"]["upstream"] != "ok"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_reset_is_a_clear_5xx(tmp_path: Path, stream: bool) -> None:
    async with (
        fake_upstream(hangs_up) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=ask(stream=stream))
    assert answer.status_code in (502, 503)
    assert answer.json()["error"]["message"]


async def test_half_a_plain_answer_is_not_an_answer(tmp_path: Path) -> None:
    body = msgspec.json.encode(completion("a long answer"))

    async def script(request: object, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[: len(body) // 2])
        await writer.drain()
        writer.close()

    async with (
        fake_upstream(script) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=ask())
    assert answer.status_code == 502


async def test_no_connection_and_no_task_is_left_behind(tmp_path: Path) -> None:
    async with (
        fake_upstream(streams(*WHOLE)) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http(limits=httpx.Limits(max_connections=4)) as client,
    ):
        for _ in range(20):
            answer = await client.post("/v1/chat/completions", json=ask(stream=True))
            assert answer.text.endswith("data: [DONE]\n\n")
        assert upstream.open_connections == 1, "a finished stream gives its connection back to the pool"
    assert upstream.open_connections == 0


async def test_unknown_fields_go_to_the_provider_and_come_back(tmp_path: Path) -> None:
    sent = ask(model="m", new_field={"deep": [1, 2.5, None, "é"]}, seed=7, stop=["a"], logprobs=True, n=2)
    sent["messages"][0]["future"] = True
    back = completion(service_tier="x", brand_new=[{"k": 1}])
    back["choices"][0]["message"]["annotations"] = [{"type": "t"}]
    back["choices"][0]["logprobs"] = {"content": []}
    async with (
        fake_upstream(answers(back)) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=sent)
    assert upstream.received[0].json == sent
    assert answer.json() == back


async def test_a_streamed_answers_unknown_fields_come_back(tmp_path: Path) -> None:
    events = [chunk("a", obfuscation="x"), chunk(finish_reason="stop", brand_new={"k": [1]})]
    async with (
        fake_upstream(streams(*events)) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
    ):
        answer = await client.post("/v1/chat/completions", json=ask(model="m", stream=True))
    *told, done = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert [msgspec.json.decode(event) for event in told] == events
    assert done == "[DONE]"


async def test_the_client_cannot_speak_for_another_tenant_and_its_key_stays_at_the_edge(
    tmp_path: Path,
) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        spoofed = {"wayside-tenant": "other", "wayside-agent": "root", "wayside-intent": "x", "cookie": "c=1"}
        await client.post("/v1/chat/completions", json=ask(), headers={**spoofed, "wayside-session": "s-1"})
    headers = upstream.received[0].headers
    assert headers["wayside-tenant"] == "acme"
    assert headers["authorization"] == "Bearer upstream-key"
    assert headers["wayside-session"] == "s-1"
    assert not {"wayside-agent", "wayside-intent", "cookie"} & headers.keys()


async def test_every_answer_names_its_request_and_its_route(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.http() as client:
        mine = await client.post("/v1/chat/completions", json=ask(), headers={"x-request-id": "my-id-1"})
        theirs = await client.post("/v1/chat/completions", json=ask(), headers={"x-request-id": "bad id\t!"})
    assert mine.headers["x-request-id"] == "my-id-1"
    assert theirs.headers["x-request-id"].startswith("req_")
    assert mine.headers["wayside-route"] == "cloud"
    assert mine.headers["cache-status"].startswith("wayside; fwd=")
    assert "upstream;dur=" in mine.headers["server-timing"]
    assert '"request_id":"my-id-1"' in stack.edge.out.getvalue()
    assert '"request_id":"my-id-1"' in stack.cloud.out.getvalue()


async def test_a_client_that_hangs_up_after_the_last_byte_was_answered_not_lost(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.http(headers={"connection": "close"}) as client:
        for stream in (False, True):
            await client.post("/v1/chat/completions", json=ask(stream=stream))
        await asyncio.sleep(0.3)
    assert stack.edge.out.getvalue().count('"status":200') == 2
    assert "499" not in stack.edge.out.getvalue() + stack.cloud.out.getvalue()
