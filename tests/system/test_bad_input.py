"""Everything a client can get wrong: a clear 4xx in the envelope, from either service, at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.wire.service.keyfile import KeyFile
from tests.support.stack import Stack, ask, running

pytestmark = pytest.mark.anyio

MINIMAL = b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}'
USER = {"role": "user", "content": "hi"}


def nested(levels: int) -> bytes:
    return MINIMAL[:-1] + b',"metadata":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


BODIES: list[tuple[str, bytes | dict[str, Any], int, str | None]] = [
    ("empty", b"", 400, None),
    ("not JSON", b"{", 400, None),
    ("NaN", b'{"model":"auto","temperature":NaN,"messages":[]}', 400, None),
    ("an array", b"[]", 400, None),
    ("a string", b'"hello"', 400, None),
    ("invalid UTF-8", b'{"model":"auto","messages":[{"role":"user","content":"\xff\xfe"}]}', 400, None),
    ("a lone surrogate", b'{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}', 400, None),
    ("a raw NUL", b'{"model":"auto","messages":[{"role":"user","content":"\x00"}]}', 400, None),
    (
        "an escaped NUL",
        b'{"model":"auto","messages":[{"role":"user","content":"a\\u0000b"}]}',
        400,
        "messages[0].content",
    ),
    ("no model", {"messages": [USER]}, 400, "model"),
    ("an empty model", ask(model=""), 400, "model"),
    ("a number for a model", ask(model=3), 400, "model"),
    ("no messages", {"model": "auto"}, 400, "messages"),
    ("an empty list of messages", {"model": "auto", "messages": []}, 400, "messages"),
    ("messages that are a string", {"model": "auto", "messages": "hi"}, 400, "messages"),
    (
        "an unknown role",
        {"model": "auto", "messages": [{"role": "alien", "content": "x"}]},
        400,
        "messages[0].role",
    ),
    (
        "a message without a role",
        {"model": "auto", "messages": [USER, {"content": "x"}]},
        400,
        "messages[1].role",
    ),
    (
        "a user who says nothing",
        {"model": "auto", "messages": [{"role": "user"}]},
        400,
        "messages[0].content",
    ),
    (
        "a number for content",
        {"model": "auto", "messages": [{"role": "user", "content": 5}]},
        400,
        "messages[0].content",
    ),
    (
        "a text part without text",
        {"model": "auto", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
        400,
        "messages[0].content[0].text",
    ),
    (
        "a tool result without its call",
        {"model": "auto", "messages": [{"role": "tool", "content": "x"}]},
        400,
        "messages[0].tool_call_id",
    ),
    ("a stream that is a string", ask(stream="yes"), 400, "stream"),
    ("a temperature of 3", ask(temperature=3), 400, "temperature"),
    ("n of 0", ask(n=0), 400, "n"),
    ("max_tokens of -1", ask(max_tokens=-1), 400, "max_tokens"),
    ("a tool without a function", ask(tools=[{"type": "function"}]), 400, "tools[0].function"),
    ("an unknown model", ask(model="gpt-9"), 404, "model"),
    ("keys in another case", b'{"Model":"auto","Messages":[]}', 400, "model"),
    ("100 levels", nested(100), 400, "metadata"),
    ("100,000 levels", nested(100_000), 400, None),
    ("an absurd number", MINIMAL[:-1] + b',"seed":' + b"9" * 10_000 + b"}", 400, None),
    ("10 MB", MINIMAL[:-1] + b',"pad":"' + b"x" * 10_000_000 + b'"}', 413, None),
]


@asynccontextmanager
async def both(tmp_path: Path) -> AsyncIterator[tuple[Stack, tuple[str, str]]]:
    """The stack, and the two base URLs that must behave alike."""
    limits = {"header_timeout_s": 0.4, "body_timeout_s": 0.6, "body_stall_timeout_s": 0.3}
    async with running(tmp_path, edge_settings=limits, cloud_settings=limits) as stack:
        # The client's key opens the cloud too, as for teams that call it directly.
        for record in KeyFile(tmp_path / "edge-keys.json").records():
            KeyFile(tmp_path / "cloud-keys.json").keep(record)
        await asyncio.sleep(1.1)  # the cloud looks at its key file once a second
        yield stack, (stack.edge_url, stack.cloud_url)


def assert_envelope(body: bytes, param: str | None = None) -> None:
    document = msgspec.json.decode(body)
    assert set(document) == {"error"}
    assert set(document["error"]) >= {"message", "type", "param", "code"}
    assert document["error"]["message"]
    assert b"Traceback" not in body
    if param is not None:
        assert document["error"]["param"] == param
        assert param in document["error"]["message"]


async def test_every_bad_body_is_a_clear_4xx_that_names_the_field(tmp_path: Path) -> None:
    async with both(tmp_path) as (stack, urls), stack.http() as client:
        for url in urls:
            for name, body, status, param in BODIES:
                content = body if isinstance(body, bytes) else msgspec.json.encode(body)
                answer = await client.post(f"{url}/v1/chat/completions", content=content)
                assert answer.status_code == status, (name, answer.text)
                assert answer.headers["content-type"] == "application/json", name
                assert answer.headers["x-request-id"], name
                assert_envelope(answer.content, param)
        healthy = await client.post("/v1/chat/completions", content=MINIMAL)
        assert healthy.status_code == 200
    assert "internal_error" not in stack.edge.out.getvalue() + stack.cloud.out.getvalue()


async def test_wrong_methods_and_paths_are_told_in_the_envelope(tmp_path: Path) -> None:
    async with both(tmp_path) as (stack, urls), stack.http() as client:
        for url in urls:
            for method, path, status in [
                ("GET", "/v1/chat/completions", 405),
                ("DELETE", "/v1/models", 405),
                ("POST", "/healthz", 405),
                ("GET", "/", 404),
                ("GET", "/v1/%00", 404),
                ("GET", "/../../etc/passwd", 404),
            ]:
                answer = await client.request(method, url + path)
                assert answer.status_code == status, (method, path)
                assert_envelope(answer.content)
                assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Basic Zm9vOmJhcg==", "Bearer nonsense", "Bearer ws-000000000000-" + "x" * 43],
)
async def test_without_a_good_key_it_is_401_before_the_body_is_read(
    tmp_path: Path, authorization: str | None
) -> None:
    async with both(tmp_path) as (stack, urls), stack.http() as client:
        del client.headers["authorization"]
        headers = {} if authorization is None else {"authorization": authorization}
        for url in urls:
            answer = await client.post(
                f"{url}/v1/chat/completions", content=b"not even JSON", headers=headers
            )
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert_envelope(answer.content)
            assert (await client.get(f"{url}/v1/models", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("header", "param"),
    [({"host": "evil.example"}, "Host"), ({"wayside-deadline-ms": "soon"}, "Wayside-Deadline-Ms")],
)
async def test_a_wrong_header_is_named(tmp_path: Path, header: dict[str, str], param: str) -> None:
    async with both(tmp_path) as (stack, urls), stack.http() as client:
        for url in urls:
            answer = await client.post(f"{url}/v1/chat/completions", content=MINIMAL, headers=header)
            assert answer.status_code == 400
            assert_envelope(answer.content, param)


async def raw(url: str, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Bytes out, with pauses; the first that comes back, empty when the server hangs up instead."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))

    async def send() -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(5):
            return await reader.read(1_000_000)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"


def with_key(stack: Stack, *lines: bytes) -> bytes:
    return (
        HEAD
        + b"".join(line + b"\r\n" for line in (f"Authorization: Bearer {stack.key}".encode(), *lines))
        + b"\r\n"
    )


async def test_absurd_heads_are_refused(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, urls):
        for url in urls:
            for head, status in [
                (HEAD + b"X: " + b"a" * 200_000 + b"\r\n\r\n", b"431"),
                (HEAD + b"X: " + b"a" * 10_000_000, b"431"),
                (HEAD + b"".join(b"X-%d: 1\r\n" % i for i in range(1000)) + b"\r\n", b"431"),
                (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"431"),
                (b"GARBAGE\r\n\r\n", b"400"),
                (b"\x16\x03\x01\x02\x00\x01", b"400"),
                (HEAD + b"Content-Length: many\r\n\r\n", b"400"),
                (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
                (HEAD + b"Host: evil.example\r\nConnection: close\r\n\r\n", b"400"),
            ]:
                answer = await raw(url, head)
                assert answer.startswith(b"HTTP/1.1 " + status), (head[:60], answer[:200])
                assert_envelope(answer.partition(b"\r\n\r\n")[2])


async def test_a_slow_head_is_not_waited_for(tmp_path: Path) -> None:
    async with both(tmp_path) as (_, urls):
        for url in urls:
            answer = await raw(url, b"POST /v1/chat", *[b"x"] * 8, pause_s=0.1)
            assert answer.startswith(b"HTTP/1.1 408")
            assert await raw(url) == b"", "a connection that says nothing is closed"


async def test_a_slow_body_is_a_408(tmp_path: Path) -> None:
    async with both(tmp_path) as (stack, urls):
        for url in urls:
            key = stack.key.encode()
            head = HEAD + b"Authorization: Bearer " + key + b"\r\nContent-Length: 60\r\n\r\n"
            stalled = await raw(url, head, b"{")
            assert stalled.startswith(b"HTTP/1.1 408")
            dripping = await raw(url, head, *(b" " for _ in range(8)), pause_s=0.15)
            assert dripping.startswith(b"HTTP/1.1 408")
            assert_envelope(dripping.partition(b"\r\n\r\n")[2])


async def test_an_endless_body_is_a_413(tmp_path: Path) -> None:
    async with both(tmp_path) as (stack, urls):
        for url in urls:
            head = with_key(stack, b"Transfer-Encoding: chunked")
            chunk = b"%x\r\n%s\r\n" % (1_000_000, b"x" * 1_000_000)
            answer = await raw(url, head, *[chunk] * 5, b"0\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 413")


async def test_no_answer_and_no_log_line_repeats_the_text_or_the_key(tmp_path: Path) -> None:
    async with running(tmp_path) as stack, stack.http() as client:
        await client.post("/v1/chat/completions", json=ask("my secret sentence"))
        await client.post("/v1/chat/completions", json=ask("my secret sentence", stream=True))
        refused = await client.post("/v1/chat/completions", json=ask("my secret sentence", temperature=9))
        metrics = await client.get("/metrics")
    logs = stack.edge.out.getvalue() + stack.cloud.out.getvalue()
    assert refused.status_code == 400
    assert "secret" not in logs + refused.text + metrics.text
    assert stack.key not in logs + metrics.text
