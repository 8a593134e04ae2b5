"""A transport that sends a response's head together with the start of its body."""

import asyncio
from typing import Any

_HEAD = b"HTTP/1."


class JoinedWrites:
    """Around a transport: a head waits for what comes next, or for the loop to come round.

    uvicorn writes head and body one after the other. As one write they are one system call, one packet, and
    one wake of whoever reads them.
    """

    __slots__ = ("_flushing", "_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: bytes | None = None
        self._flushing: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        if self._held is not None:
            data, self._held = self._held + data, None
            self._transport.write(data)
        elif self._flushing is None and data.startswith(_HEAD):
            self._held = data
            self._flushing = self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    # Asked for with every request, so not by way of `__getattr__`.
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        self._flushing = None
        if self._held is not None:
            data, self._held = self._held, None
            self._transport.write(data)
