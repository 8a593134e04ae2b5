"""Runs an app on uvicorn, with request heads bounded in size and time."""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from cloud.wire.errors import (
    BodyTimeout,
    HeadersTooLarge,
    InvalidRequest,
    Overloaded,
    WaysideError,
    envelope,
)
from cloud.wire.service.joined_writes import JoinedWrites
from cloud.wire.service.settings import ServiceSettings, StartUpError

_KEEP_ALIVE_S = 75
"""Longer than any pool of ours keeps an idle connection, so that a pooled one is never stale."""


_ACCEPTS_A_TURN = 16
"""libuv accepts one connection of a listening socket each time around its loop, and a busy loop takes tens of
milliseconds to come around: a burst of new connections would wait for seconds. This many copies do not."""

_LINGER_S = 1.0
"""How long a peer whose request was refused may go on sending into the void."""


class _HeadRefused(Exception):
    """Raised inside a parser callback to make the parser stop."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol, which by itself waits for ever and buffers without bound."""

    settings: ServiceSettings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal: WaysideError | None = None
        self._has_hung_up = False
        self.on_leaving: set[Callable[[], None]] = set()
        """Called when the client's connection is gone, by requests that are still at work for it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]  # quacks like one
        self._start_head_timer()
        if len(self.connections) > self.settings.max_connections:
            self._refuse(Overloaded("this service has too many connections", retry_after_s=1))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)
        for leave in tuple(self.on_leaving):
            leave()

    def data_received(self, data: bytes) -> None:
        if self._has_hung_up:
            return
        # Counted before parsing: the parser keeps a field to itself until the field is whole.
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.settings.max_header_bytes:
            self._refuse(
                HeadersTooLarge(f"the request head is larger than {self.settings.max_header_bytes} bytes")
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["wayside.on_leaving"] = self.on_leaving  # type: ignore[typeddict-unknown-key]  # ours
        self._in_head = True
        self._head_bytes = 0
        self._start_head_timer()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.settings.max_header_bytes:
            self._stop(
                HeadersTooLarge(f"the request head is larger than {self.settings.max_header_bytes} bytes")
            )
        if len(self.headers) > self.settings.max_headers:
            self._stop(
                HeadersTooLarge(f"the request has more than {self.settings.max_headers} header fields")
            )
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.scope["wayside.is_here"] = True  # type: ignore[typeddict-unknown-key]  # ours

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal or InvalidRequest("this is not a valid HTTP request"))

    def _stop(self, error: WaysideError) -> None:
        self._refusal = error
        raise _HeadRefused

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(self.settings.header_timeout_s, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self._head_bytes:
            self._refuse(
                BodyTimeout(
                    f"the request head took longer than {self.settings.header_timeout_s:g} s",
                    code="head_timeout",
                )
            )
        else:
            self.transport.close()

    def _refuse(self, error: WaysideError) -> None:
        """Answer without the app, which never saw the request, and hang up."""
        self._stop_head_timer()
        if self._has_hung_up or self.transport.is_closing():
            return
        self._has_hung_up = True
        body = envelope(error)
        self.transport.write(
            STATUS_LINE[error.status]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + (b"retry-after: %d\r\n" % error.retry_after_s if error.retry_after_s else b"")
            + b"content-length: %d\r\n\r\n" % len(body)
            + body
        )
        # Closing while the peer still sends would reset the connection, and the answer with it.
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


def bind(settings: ServiceSettings) -> socket.socket:
    """The listening socket. Raises StartUpError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartUpError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another --port"
        ) from error
    listener.setblocking(False)
    return listener


def serve(app: ASGIApp, listener: socket.socket, settings: ServiceSettings) -> bool:
    """Serve until a signal comes; False when the app's own start-up failed."""
    server = _Server(configuration(app, settings))
    server.run(sockets=[listener, *(listener.dup() for _ in range(1, _ACCEPTS_A_TURN))])
    return server.started


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell the garbage collector that what is here now is here to stay.

        Otherwise it walks every module and model again and again: tens of milliseconds a time, during
        which nobody is answered.
        """
        await super().startup(sockets=sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER, 20, 50)


_COLLECT_AFTER = 5_000
"""Objects made and not yet freed before the young ones are looked through; a request makes hundreds."""


def configuration(app: ASGIApp, settings: ServiceSettings) -> uvicorn.Config:
    """uvicorn as we run it: httptools and uvloop, guarded, and silent, since the intake logs."""
    for name in ("uvicorn", "uvicorn.error"):
        # Its messages repeat ours, and its tracebacks may hold what callers sent.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,
        http=type("BoundGuardedProtocol", (GuardedProtocol,), {"settings": settings}),
        loop="uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here believes X-Forwarded-For, so nobody needs to parse it
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
