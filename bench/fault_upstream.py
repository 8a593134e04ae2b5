"""A provider on loopback that fails exactly as it is told to, in a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

WORDS: Final = tuple(f"word{number}" for number in range(60))
CUT_AT: Final = 40

Kind = Literal[
    "answers", "429 once", "429 forever", "500 once", "503 forever", "reset", "silence", "late", "cut",
    "stall",
    "malformed", "no done", "context length", "content filter", "rejects prefill", "random cut",
]  # fmt: skip


@dataclass(kw_only=True)
class FaultUpstream:
    """What it does now, and what it was asked; changed from outside between requests."""

    kind: Kind = "answers"
    cut_at: int = CUT_AT
    port: int = 0
    calls: int = 0
    cuts: int = 0
    """Answers it broke off, since it began."""
    tokens_said: list[int] = field(default_factory=list)

    def set(self, kind: Kind, *, cut_at: int = CUT_AT) -> None:
        self.kind, self.cut_at, self.calls = kind, cut_at, 0
        self.tokens_said.clear()


@contextmanager
def fault_upstreams(count: int) -> Iterator[list[FaultUpstream]]:
    """So many providers, listening for the time of the block."""
    upstreams = [FaultUpstream() for _ in range(count)]
    ready, told = threading.Event(), threading.Event()

    async def serve() -> None:
        async with _listening(upstreams):
            ready.set()
            while not told.is_set():  # noqa: ASYNC110 - it is told from another thread
                await asyncio.sleep(0.05)

    # asyncio.run ends whatever still hangs in the middle of an answer.
    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield upstreams
    finally:
        told.set()
        thread.join(10)


@asynccontextmanager
async def _listening(upstreams: list[FaultUpstream]) -> AsyncIterator[None]:
    servers = []
    for upstream in upstreams:
        server = await asyncio.start_server(_connection(upstream), "127.0.0.1", 0)
        upstream.port = server.sockets[0].getsockname()[1]
        servers.append(server)
    try:
        yield
    finally:
        for server in servers:
            server.close()


def _connection(upstream: FaultUpstream) -> Callable[..., Any]:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = next(
                    (
                        int(line.split(":")[1])
                        for line in head.split("\r\n")
                        if line.lower().startswith("content-length:")
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                if not head.startswith("POST"):
                    await _whole(writer, 200, {"object": "list", "data": []})
                    continue
                upstream.calls += 1
                await _answer(upstream, msgspec.json.decode(body), writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    return connection


async def _answer(upstream: FaultUpstream, request: Any, writer: asyncio.StreamWriter) -> None:
    last = request["messages"][-1]
    prefill = last["content"] if last["role"] == "assistant" else ""
    match upstream.kind:
        case "429 once" if upstream.calls == 1:
            await _error(writer, 429, "rate_limit_exceeded", "Retry-After: 1")
        case "429 forever":
            await _error(writer, 429, "rate_limit_exceeded", "Retry-After: 1")
        case "500 once" if upstream.calls == 1:
            await _error(writer, 500, "server_error")
        case "503 forever":
            await _error(writer, 503, "overloaded")
        case "reset":
            writer.transport.abort()
        case "silence":
            await asyncio.sleep(3600)
        case "context length":
            await _error(writer, 400, "context_length_exceeded")
        case "content filter":
            await _error(writer, 400, "content_filter")
        case "rejects prefill" if prefill:
            await _error(writer, 400, "last_message_must_be_user")
        case _:
            await _words(upstream, request, prefill, writer)


async def _words(upstream: FaultUpstream, request: Any, prefill: str, writer: asyncio.StreamWriter) -> None:
    text = " ".join(WORDS)
    rest = text[len(prefill) :] if text.startswith(prefill) else text
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": len(rest.split()),
        "total_tokens": 7 + len(rest.split()),
    }
    upstream.tokens_said.append(len(rest.split()))
    cuts = upstream.kind in ("cut", "random cut", "stall", "malformed")
    if request.get("stream") is not True:
        document = {
            "id": "c", "object": "chat.completion", "created": 1, "model": request["model"], "usage": usage,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": rest}, "finish_reason": "stop"}
            ],
        }  # fmt: skip
        body = msgspec.json.encode(document)
        if upstream.kind == "late":
            await asyncio.sleep(20)
        if upstream.kind == "stall":
            _head(writer, 200, len(body))
            writer.write(body[:40])
            await asyncio.sleep(3600)
        if upstream.kind in ("cut", "random cut"):
            _head(writer, 200, len(body))
            writer.write(body[: min(len(body) - 1, upstream.cut_at * len(body) // len(WORDS))])
            await writer.drain()
            upstream.cuts += 1
            writer.close()
            return
        await _whole(writer, 200, document if upstream.kind != "malformed" else b'{"choices": [')
        return
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    if upstream.kind == "late":
        await asyncio.sleep(20)
    _event(writer, _chunk({"role": "assistant", "content": ""}, None))
    pieces = rest.split(" ")
    for number, word in enumerate(pieces):
        if cuts and number == upstream.cut_at:
            await writer.drain()
            if upstream.kind == "stall":
                await asyncio.sleep(3600)
            if upstream.kind == "malformed":
                _event(writer, b'{"id": "c", "choices": [{"delta": {"con')
            upstream.cuts += 1
            writer.close()
            return
        content = word if number == len(pieces) - 1 else f"{word} "
        _event(writer, _chunk({"content": content}, None))
        if number % 10 == 0:
            await writer.drain()
    _event(writer, _chunk({}, "stop"))
    if (request.get("stream_options") or {}).get("include_usage"):
        _event(
            writer,
            msgspec.json.encode({**msgspec.json.decode(_chunk({}, None)), "choices": [], "usage": usage}),
        )
    if upstream.kind != "no done":
        _event(writer, b"[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _chunk(delta: dict[str, str], finish: str | None) -> bytes:
    return msgspec.json.encode(
        {
            "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
    )  # fmt: skip


def _event(writer: asyncio.StreamWriter, data: bytes) -> None:
    frame = b"data: " + data + b"\n\n"
    writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))


def _head(writer: asyncio.StreamWriter, status: int, length: int, *more: str) -> None:
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {length}", *more]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")


async def _whole(writer: asyncio.StreamWriter, status: int, document: Any, *more: str) -> None:
    body = document if isinstance(document, bytes) else msgspec.json.encode(document)
    _head(writer, status, len(body), *more)
    writer.write(body)
    await writer.drain()


async def _error(writer: asyncio.StreamWriter, status: int, code: str, *more: str) -> None:
    await _whole(
        writer, status, {"error": {"message": code, "type": code, "param": None, "code": code}}, *more
    )
