"""A model provider on loopback that answers, or fails, exactly as a test tells it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

Script = Callable[["Received", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(kw_only=True)
class FakeUpstream:
    script: Script
    url: str = ""
    received: list[Received] = field(default_factory=list)
    open_connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client left before its answer was written."""


@asynccontextmanager
async def fake_upstream(script: Script) -> AsyncIterator[FakeUpstream]:
    upstream = FakeUpstream(script=script)
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        upstream.open_connections += 1
        try:
            while (request := await _read_request(reader)) is not None:
                upstream.received.append(request)
                answering = asyncio.ensure_future(upstream.script(request, writer))
                leaving = asyncio.ensure_future(_wait_for_end(reader))
                try:
                    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                    has_left = not answering.done()
                finally:
                    answering.cancel()
                    leaving.cancel()
                    outcome, _ = await asyncio.gather(answering, leaving, return_exceptions=True)
                if has_left or isinstance(outcome, ConnectionError):
                    upstream.hung_up.set()
                    return
                if isinstance(outcome, BaseException):
                    raise outcome
                if writer.is_closing():
                    return
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            upstream.open_connections -= 1
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _wait_for_end(reader: asyncio.StreamReader) -> None:
    """Return when the peer hangs up. A request that follows on the connection stays unread."""
    while not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]  # no public peek
        await asyncio.sleep(0.01)
    if not reader.at_eof():
        await asyncio.Event().wait()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, path=path, headers=headers, body=body)


def completion(text: str = "Hello", **extra: Any) -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        **extra,
    }


def chunk(text: str | None = None, finish_reason: str | None = None, **extra: Any) -> dict[str, Any]:
    """One event of a streamed answer."""
    delta = {} if text is None else {"content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        **extra,
    }


def answers(document: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Script:
    """Answer with one JSON document, whole."""

    async def script(request: Received, writer: asyncio.StreamWriter) -> None:
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        head = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        await writer.drain()

    return script


def streams(*events: Any, done: bool = True, pause_s: float = 0.0, then: str = "end") -> Script:
    """Answer with events; `then`: `end` the body, `cut` it short, or `stall` for ever."""

    async def script(request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for event in [*events, *([b"[DONE]"] if done else [])]:
            data = event if isinstance(event, bytes) else msgspec.json.encode(event)
            frame = b"data: " + data + b"\n\n"
            writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            await writer.drain()
            await asyncio.sleep(pause_s)
        match then:
            case "end":
                writer.write(b"0\r\n\r\n")
            case "cut":
                writer.close()
            case _:
                await asyncio.Event().wait()

    return script


async def says_nothing(request: Received, writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await asyncio.Event().wait()


async def hangs_up(request: Received, writer: asyncio.StreamWriter) -> None:
    """Take the request and reset the connection."""
    writer.transport.abort()


def by_request(whole: Script, stream: Script) -> Script:
    """One script for plain requests, another for streaming ones."""

    async def script(request: Received, writer: asyncio.StreamWriter) -> None:
        wants_stream = request.method == "POST" and request.json.get("stream") is True
        await (stream if wants_stream else whole)(request, writer)

    return script
