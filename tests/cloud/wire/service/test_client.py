"""The client of an OpenAI-compatible service, against one that errs in every way."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from cloud.wire.errors import (
    DeadlineExceeded,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnavailable,
    WaysideError,
)
from cloud.wire.service.client import Limits, OpenAiClient, new_session
from cloud.wire.service.settings import Secret
from tests.support.upstream import (
    FakeUpstream,
    Received,
    Script,
    answers,
    chunk,
    completion,
    fake_upstream,
    hangs_up,
    says_nothing,
    streams,
)

pytestmark = pytest.mark.anyio

END = chunk(finish_reason="stop")


@dataclass(frozen=True, kw_only=True, slots=True)
class Calling:
    """A client in front of a fake upstream."""

    client: OpenAiClient
    upstream: FakeUpstream

    async def ask(
        self, *, stream: bool = False, within_s: float = 10.0, headers: dict[str, str] | None = None
    ) -> list[bytes]:
        deadline = asyncio.get_running_loop().time() + within_s
        answer = await self.client.open(b"{}", streams=stream, headers=headers or {}, deadline=deadline)
        try:
            return [document async for document in answer]
        finally:
            await answer.aclose()

    async def fails(self, *, stream: bool = False, within_s: float = 10.0) -> WaysideError:
        with pytest.raises(WaysideError) as caught:
            await self.ask(stream=stream, within_s=within_s)
        return caught.value


@asynccontextmanager
async def calling(script: Script, **limits: Any) -> AsyncIterator[Calling]:
    bounds = Limits(**limits)
    async with fake_upstream(script) as upstream, new_session(bounds) as session:
        client = OpenAiClient(
            base_url=upstream.url + "/", api_key=Secret("sk-mine"), limits=bounds, session=session
        )
        yield Calling(client=client, upstream=upstream)


def sends(
    *parts: bytes, status: str = "200 OK", media_type: str | None = "application/json", **extra: str
) -> Script:
    """Answer with raw bytes, then close the connection."""

    async def script(request: Received, writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status}", "connection: close"]
        head += [f"content-type: {media_type}"] if media_type is not None else []
        head += [f"{name.replace('_', '-')}: {value}" for name, value in extra.items()]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    return script


async def test_a_whole_answer_is_one_document_byte_for_byte() -> None:
    body = msgspec.json.format(msgspec.json.encode(completion("é", future=[1])))
    async with calling(answers(body)) as call:
        assert await call.ask(headers={"x-request-id": "r-1"}) == [body]
    (request,) = call.upstream.received
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-mine"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-request-id"] == "r-1"


async def test_a_stream_is_its_documents_without_the_done() -> None:
    async with calling(streams(chunk("a"), END)) as call:
        assert list(map(msgspec.json.decode, await call.ask(stream=True))) == [chunk("a"), END]
    assert call.upstream.received[0].headers["accept"] == "text/event-stream"


async def test_a_compressed_answer_is_unpacked() -> None:
    body = msgspec.json.encode(completion("hello"))
    async with calling(answers(gzip.compress(body), headers={"content-encoding": "gzip"})) as call:
        assert await call.ask() == [body]


@pytest.mark.parametrize(
    ("stream", "media_type"),
    [
        (False, "text/html"),
        (False, "text/event-stream"),
        (False, None),
        (True, "application/json"),
        (True, "text/plain; charset=utf-8"),
        (True, None),
    ],
)
async def test_another_content_type_is_a_broken_answer(stream: bool, media_type: str | None) -> None:
    body = b"data: x\n\n" if stream else msgspec.json.encode(completion())
    async with calling(sends(body, media_type=media_type)) as call:
        error = await call.fails(stream=stream)
    assert isinstance(error, UpstreamBroken)
    assert "content type" in error.message or (media_type or "").partition(";")[0] in error.message


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_a_content_type_with_a_charset_is_the_same_type(media_type: str) -> None:
    async with calling(sends(msgspec.json.encode(completion()), media_type=media_type)) as call:
        assert len(await call.ask()) == 1


@pytest.mark.parametrize("body", [b"", b": ping\n\n", b"data: [DONE]\n\n"])
async def test_a_stream_without_a_document_is_a_broken_answer(body: bytes) -> None:
    async with calling(sends(body, media_type="text/event-stream")) as call:
        assert isinstance(await call.fails(stream=True), UpstreamBroken)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b"<html>",
        b"\xff\xfe",
        b'{"error":{"message":"no"}}',
    ],
)
async def test_a_plain_answer_that_is_no_completion_is_a_broken_one(body: bytes) -> None:
    async with calling(answers(body)) as call:
        assert isinstance(await call.fails(), UpstreamBroken)


@pytest.mark.parametrize(
    ("status", "expected", "told"),
    [
        (201, UpstreamBroken, 502),
        (204, UpstreamBroken, 502),
        (301, UpstreamBroken, 502),
        (302, UpstreamBroken, 502),
        (307, UpstreamBroken, 502),
        (400, UpstreamRefused, 400),
        (401, UpstreamBroken, 502),
        (402, UpstreamRefused, 402),
        (403, UpstreamBroken, 502),
        (404, UpstreamRefused, 404),
        (418, UpstreamRefused, 418),
        (429, UpstreamRefused, 429),
        (500, UpstreamBroken, 502),
        (502, UpstreamBroken, 502),
        (503, UpstreamRefused, 503),
        (504, UpstreamRefused, 504),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_status_without_a_readable_error_is_told_as_what_it_means_here(
    stream: bool, status: int, expected: type[WaysideError], told: int
) -> None:
    script = answers(b"", status=status, headers={"location": "http://127.0.0.1:9/"})
    async with calling(script) as call:
        error = await call.fails(stream=stream)
    assert type(error) is expected
    assert error.status == told
    assert len(call.upstream.received) == 1, "no redirect is followed"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"too long","code":"ctx"}}', "too long"),
        (b'{"error":"too long"}', "too long"),
        (b'{"message":"too long","code":400}', "too long"),
        (b'{"error":{"no":"message"}}', "the upstream answered with status 400"),
        (b'{"error":null}', "the upstream answered with status 400"),
        (b"<html>Bad Request</html>", "the upstream answered with status 400"),
        (b"[1]", "the upstream answered with status 400"),
        (b"\xff", "the upstream answered with status 400"),
        (b'{"error":{"message":"' + b"x" * 100_000 + b'"}}', "the upstream answered with status 400"),
    ],
)
async def test_an_errors_message_is_found_in_whatever_body(body: bytes, message: str) -> None:
    async with calling(answers(body, status=400)) as call:
        error = await call.fails()
    assert isinstance(error, UpstreamRefused)
    assert error.message == message


async def test_a_refused_credential_of_ours_is_not_the_callers_fault() -> None:
    told = {"error": {"message": "Incorrect API key provided: sk-mine"}}
    async with calling(answers(told, status=401)) as call:
        error = await call.fails()
    assert (error.status, error.code) == (502, "upstream_credential")
    assert "sk-mine" not in error.message


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [
        (429, "7", 7),
        (429, "0.4", 1),
        (429, "-3", 1),
        (503, "999999", 3600),
        (429, None, 1),
        (503, None, 1),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", 1),
        (429, "soon", 1),
        (429, "nan", 1),
        (429, "inf", 3600),
        (429, "-inf", 1),
        (429, "1e999", 3600),
        (500, "5", 5),
        (400, None, None),
    ],
)
async def test_when_to_retry_is_told_in_sane_seconds(
    status: int, value: str | None, seconds: int | None
) -> None:
    headers = {} if value is None else {"retry-after": value}
    async with calling(answers({"error": {"message": "m"}}, status=status, headers=headers)) as call:
        assert (await call.fails()).retry_after_s == seconds


@pytest.mark.parametrize("chunks", [1, 8])
async def test_an_event_too_long_is_refused_however_it_arrives(chunks: int) -> None:
    parts = [b"data: ", *[b"x" * (8000 // chunks)] * chunks, b"\n\n"]
    async with calling(sends(*parts, media_type="text/event-stream"), max_event_bytes=4000) as call:
        error = await call.fails(stream=True)
    assert isinstance(error, UpstreamBroken)
    assert "longer than 4000 bytes" in error.message


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_too_long_is_refused(stream: bool) -> None:
    script = streams(*[chunk("x" * 500)] * 20, END) if stream else answers(completion("x" * 9000))
    async with calling(script, max_answer_bytes=8000) as call:
        error = await call.fails(stream=stream)
    assert isinstance(error, UpstreamBroken)
    assert "longer than 8000 bytes" in error.message


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_refused() -> None:
    packed = gzip.compress(b" " * 5_000_000)
    async with calling(
        answers(packed, headers={"content-encoding": "gzip"}), max_answer_bytes=1_000_000
    ) as call:
        assert isinstance(await call.fails(), UpstreamBroken)


async def test_an_answer_that_does_not_unpack_is_a_broken_one() -> None:
    async with calling(answers(b"not gzip", headers={"content-encoding": "gzip"})) as call:
        assert isinstance(await call.fails(), UpstreamBroken)


@pytest.mark.parametrize("stream", [False, True])
async def test_no_first_byte_in_time_is_an_absent_upstream(stream: bool) -> None:
    async with calling(says_nothing, first_byte_s=0.1) as call:
        started = time.monotonic()
        error = await call.fails(stream=stream)
        await asyncio.wait_for(call.upstream.hung_up.wait(), 2)
    assert isinstance(error, UpstreamUnavailable)
    assert error.retry_after_s == 1
    assert time.monotonic() - started < 2


async def test_a_stream_that_stalls_is_given_up() -> None:
    async with calling(streams(chunk("a"), done=False, then="stall"), stall_s=0.1) as call:
        assert isinstance(await call.fails(stream=True), UpstreamUnavailable)
        await asyncio.wait_for(call.upstream.hung_up.wait(), 2)


async def test_a_plain_answer_that_stalls_in_its_body_is_given_up() -> None:
    async def stalls(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
        await asyncio.Event().wait()

    async with calling(stalls, stall_s=0.1) as call:
        assert isinstance(await call.fails(stream=False), UpstreamUnavailable)
        await asyncio.wait_for(call.upstream.hung_up.wait(), 2)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_deadline_is_kept_and_is_told_apart_from_a_stall(stream: bool) -> None:
    script = streams(chunk("a"), done=False, then="stall") if stream else says_nothing
    async with calling(script) as call:
        assert isinstance(await call.fails(stream=stream, within_s=0.15), DeadlineExceeded)


async def test_a_deadline_that_has_passed_asks_nobody() -> None:
    async with calling(answers(completion())) as call:
        assert isinstance(await call.fails(within_s=-1), DeadlineExceeded)
        assert call.upstream.received == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset_before_any_answer_is_an_absent_upstream(stream: bool) -> None:
    async with calling(hangs_up) as call:
        error = await call.fails(stream=stream)
    assert isinstance(error, UpstreamUnavailable)
    assert error.retry_after_s == 1


async def test_nobody_at_the_address_is_an_absent_upstream() -> None:
    async with calling(answers(completion())) as call:
        pass
    limits = Limits()
    async with new_session(limits) as session:
        client = OpenAiClient(base_url=call.upstream.url, api_key=Secret(""), limits=limits, session=session)
        error = await Calling(client=client, upstream=call.upstream).fails()
    assert isinstance(error, UpstreamUnavailable)
    assert error.retry_after_s == 1


@pytest.mark.parametrize(
    ("events", "done", "is_whole"),
    [
        ([chunk("a"), END], True, True),
        ([chunk("a"), END], False, True),
        ([chunk("a")], True, True),
        ([chunk("a")], False, False),
        ([chunk("a"), END | {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}], False, False),
        ([chunk("a"), {"error": {"message": "GPU on fire"}}], True, False),
        ([chunk("a"), b"{"], True, False),
    ],
    ids=["whole", "no DONE", "DONE alone", "cut", "one of two choices", "an error", "malformed"],
)
async def test_a_stream_ends_normally_only_when_it_is_whole(
    events: list[Any], done: bool, is_whole: bool
) -> None:
    async with calling(streams(*events, done=done)) as call:
        if is_whole:
            assert len(await call.ask(stream=True)) == len(events)
        else:
            assert isinstance(await call.fails(stream=True), UpstreamBroken)


async def test_a_stream_cut_inside_its_last_event_is_not_whole() -> None:
    last = b"data: " + msgspec.json.encode(END) + b"\n\n"
    async with calling(sends(last, b"data: {", media_type="text/event-stream")) as call:
        assert isinstance(await call.fails(stream=True), UpstreamBroken)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_finished_answer_gives_its_connection_back(stream: bool) -> None:
    script = streams(chunk("a"), END) if stream else answers(completion())
    async with calling(script) as call:
        for _ in range(5):
            await call.ask(stream=stream)
        assert call.upstream.open_connections == 1


async def test_an_answer_left_unread_takes_its_connection_with_it() -> None:
    async with calling(streams(chunk("a"), done=False, then="stall")) as call:
        deadline = asyncio.get_running_loop().time() + 10
        answer = await call.client.open(b"{}", streams=True, headers={}, deadline=deadline)
        assert await anext(answer)
        await answer.aclose()
        await asyncio.wait_for(call.upstream.hung_up.wait(), 2)


async def test_a_small_get_tells_status_and_body_whatever_they_are() -> None:
    async with calling(answers({"data": []}, status=418)) as call:
        assert await call.client.get("/models", headers={}, timeout_s=5) == (418, b'{"data":[]}')
    assert call.upstream.received[0].path == "/v1/models"


async def test_a_get_that_is_not_answered_in_time_is_a_deadline_passed() -> None:
    async with calling(says_nothing) as call:
        with pytest.raises((DeadlineExceeded, UpstreamUnavailable)):
            await call.client.get("/models", headers={}, timeout_s=0.1)
