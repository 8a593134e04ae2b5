"""A static upstream in a process of its own: one answer, as JSON or as events."""

import argparse
import asyncio
import sys

import httptools
import msgspec
import uvloop

from bench.questions import STATIC_REPLY

_HEAD = {"id": "chatcmpl-static", "created": 1_700_000_000, "model": "static"}
_USAGE = {"prompt_tokens": 30, "completion_tokens": 57, "total_tokens": 87}


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    stream: bool | None = None


_decoder = msgspec.json.Decoder(_Asked)


def completion() -> bytes:
    """The answer as one `chat.completion`."""
    return completion_of(STATIC_REPLY)


def completion_of(text: str) -> bytes:
    """One `chat.completion` that says the text."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    document = {**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    return msgspec.json.encode(document)


def events() -> tuple[bytes, ...]:
    """The answer as events, a word an event, the last one `[DONE]`."""
    first, *rest = STATIC_REPLY.split(" ")
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in (first, *(f" {word}" for word in rest))]
    deltas.append(({}, "stop"))
    chunks = [
        {
            **_HEAD,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        for delta, reason in deltas
    ]
    return (*(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n")


def _plain(body: bytes, media_type: bytes = b"application/json", status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (status, media_type, len(body))
    return head + body


_COMPLETION = _plain(completion())
_MODELS = _plain(msgspec.json.encode({"object": "list", "data": [{"id": "static", "object": "model"}]}))
_HEALTHY = _plain(b"{}")
_MISSING = _plain(b"{}", status=b"404 Not Found")
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    *(b"%x\r\n%b\r\n" % (len(event), event) for event in events()),
    b"0\r\n\r\n",
)
_GETS = {b"/health": _HEALTHY, b"/v1/models": _MODELS}
"""Routers ask for these before they trust a worker."""


class StaticUpstream(asyncio.Protocol):
    """One connection of the server."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport can write

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._url != b"/v1/chat/completions":
            self._write(_GETS.get(self._url, _MISSING))
        elif _decoder.decode(b"".join(self._body)).stream:
            self._stream(0)
        else:
            self._write(_COMPLETION)

    def _stream(self, position: int) -> None:
        """Event by event, each in a turn of the loop: a real model's do not come in one segment."""
        self._write(_STREAM[position])
        if position + 1 < len(_STREAM):
            asyncio.get_running_loop().call_soon(self._stream, position + 1)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(StaticUpstream, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one, printed")
    uvloop.run(serve(parser.parse_args().port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
