"""One keep-alive HTTP/1.1 connection of the load generator, made of callbacks."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from bench.answers import Fault, judge
from bench.questions import Ask
from bench.truth import Route, route_of

_TELLING = (b"wayside-route", b"cache-status", b"x-litellm-cache-key")
"""The headers that say where an answer came from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One request that is over."""

    microseconds: int
    """From the request's first byte written to the answer's last byte read."""
    fault: Fault | None
    status: int = 0
    """0 when there was no answer."""
    says_when: bool = False
    """It carried `Retry-After`."""


class Connection(asyncio.Protocol):
    """Carries one request at a time; `over` is called after each, `closed` when it can carry no more."""

    def __init__(
        self,
        *,
        head: bytes,
        over: "Callable[[Connection, Judged], None]",
        closed: "Callable[[], None]",
        served: Route | None = None,
    ) -> None:
        """`served`: where every answer must come from by its headers; one from elsewhere is a fault."""
        self._head = head
        self._over = over
        self._closed = closed
        self._served = served
        self._transport: asyncio.Transport | None = None
        self._ask: Ask | None = None
        self._started_ns = 0
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._media_type = ""
        self._body: list[bytes] = []
        self._has_begun = False
        self._says_when = False
        self._telling: dict[str, str] = {}

    @property
    def waited_s(self) -> float:
        """How long the request in flight has been waiting; 0 without one."""
        return (time.perf_counter_ns() - self._started_ns) / 1e9 if self._ask else 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport can write

    def send(self, ask: Ask, *, due_ns: int | None = None) -> None:
        """`due_ns`: when it should have been sent (perf_counter_ns), if that was earlier than now."""
        assert self._ask is None
        assert self._transport is not None
        self._ask = ask
        self._media_type = ""
        self._body = []
        self._has_begun = False
        self._says_when = False
        self._telling = {}
        self._started_ns = time.perf_counter_ns() if due_ns is None else due_ns
        self._transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (self._head, len(ask.body), ask.body))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._has_begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.close()
            self._end(Fault(kind="half", detail=f"not HTTP: {error}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self._media_type = value.decode("latin-1")
        elif name.lower() == b"retry-after":
            self._says_when = True
        elif self._served is not None and name.lower() in _TELLING:
            self._telling[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        ask = self._ask
        if ask is None:
            return
        microseconds = (time.perf_counter_ns() - self._started_ns) // 1000
        status = self._parser.get_status_code()
        fault = judge(
            status=status,
            media_type=self._media_type,
            body=b"".join(self._body),
            streams=ask.streams,
            expected=ask.expected,
        )
        if fault is None and self._served is not None:
            route = route_of(self._telling)
            if route != self._served:
                fault = Fault(kind="elsewhere", detail=f"{route} where {self._served} was to answer")
        if not self._parser.should_keep_alive():
            # The next request needs another connection; this one must not be given it.
            self.close()
            self._transport = None
        self._ask = None
        judged = Judged(microseconds=microseconds, fault=fault, status=status, says_when=self._says_when)
        self._over(self, judged)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._has_begun:
            self._end(Fault(kind="half", detail="the connection closed inside the answer"))
        else:
            self._end(Fault(kind="lost", detail="the connection closed without an answer"))
        self._closed()

    def give_up(self) -> None:
        """The request in flight took too long."""
        self.close()
        self._end(Fault(kind="lost", detail="no whole answer in time"))

    def _end(self, fault: Fault) -> None:
        if self._ask is not None:
            self._ask = None
            microseconds = (time.perf_counter_ns() - self._started_ns) // 1000
            self._over(self, Judged(microseconds=microseconds, fault=fault))
