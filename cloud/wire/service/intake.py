"""The door of a service: every request is named, checked, timed, counted, and never left hanging."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.wire import headers as names
from cloud.wire.errors import (
    BodyTimeout,
    BodyTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    WaysideError,
    envelope,
)
from cloud.wire.service.lag import LoopLag
from cloud.wire.service.observe import Log, Metrics, Record, Tracing, record_of, trace_headers
from cloud.wire.service.settings import ServiceSettings

_CLIENT_CLOSED_REQUEST = 499
_RETRY_AFTER_S = 1
_BEGUN_LATELY_S = 0.5
"""Long for a decision that waits for others, short for an answer of a model."""
_ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
_NO_SECOND = frozenset({b"host", b"authorization", b"content-length", b"content-type"})

ENDPOINTS = {
    "/v1/chat/completions": "chat",
    "/v1/models": "models",
    "/v1/route": "route",
    "/v1/cache": "cache",
    "/v1/feedback": "feedback",
    "/healthz": "healthz",
    "/readyz": "readyz",
    "/metrics": "metrics",
}
"""Path -> label. Metrics have one series a label, so a path nobody serves is `other`."""

FAMILIES = {
    "/v1/sessions": "sessions",
    "/v1/memories": "memories",
    "/v1/subjects": "subjects",
    "/v1/runs": "runs",
    "/v1/usage": "usage",
}
"""The same for paths that begin so."""


class Intake:
    """ASGI middleware around a whole service."""

    def __init__(
        self, app: ASGIApp, *, settings: ServiceSettings, metrics: Metrics, log: Log, tracing: Tracing
    ) -> None:
        self._app = app
        self._allowed_hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._most = settings.max_requests
        self._few = settings.shed_from
        self._lag = LoopLag(latest_s=settings.shed_lag_ms / 1000 or math.inf)
        self._under_way: set[_Exchange] = set()
        self._metrics = metrics
        metrics.in_flight.set_function(lambda: len(self._under_way))
        self._log = log
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            self._lag.start()
            await self._app(scope, receive, send)
            self._lag.stop()
            return
        headers = _decoded(scope["headers"])
        record = Record(
            request_id=names.accepted_request_id(headers.get(names.REQUEST_ID)) or _new_request_id(),
            method=scope["method"],
            endpoint=_endpoint(scope["path"]),
        )
        scope["wayside.record"] = record
        exchange = _Exchange(receive, send, record, headers)
        scope["wayside.exchange"] = exchange
        self._under_way.add(exchange)
        try:
            if record.endpoint == "chat" and self._tracing.is_on:
                with self._tracing.server_span(f"{record.method} {scope['path']}", record, headers):
                    await self._answer(scope, exchange, headers)
            else:
                record.trace_headers = trace_headers(headers)
                await self._answer(scope, exchange, headers)
        finally:
            exchange.stop_watching()
            self._under_way.remove(exchange)
            self._metrics.count(record)
            self._log.request(record)

    async def _answer(self, scope: Scope, exchange: "_Exchange", headers: Mapping[str, str]) -> None:
        record = exchange.record
        try:
            try:
                self._check_head(scope, headers)
                await self._app(scope, exchange.receive, exchange.send)
            except WaysideError as error:
                await exchange.refuse(error, scope)
            except Exception as error:
                # The name alone: a message may quote what the caller sent.
                self._log.event("internal_error", request_id=record.request_id, **_where(error))
                await exchange.refuse(InternalError("something went wrong here; the log has it"), scope)
        except asyncio.CancelledError:
            if not exchange.client_left:
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            record.status = _CLIENT_CLOSED_REQUEST
            record.error = "client_closed_request"

    def _begun_lately(self) -> int:
        """Requests under way but for those that by now wait for somebody else, a model most likely."""
        since = time.perf_counter() - _BEGUN_LATELY_S
        return sum(exchange.record.started > since for exchange in self._under_way)

    def _check_head(self, scope: Scope, headers: Mapping[str, str]) -> None:
        # Probes and scrapes are small, and needed most when everything else is full.
        is_late = self._lag.is_late and self._begun_lately() > self._few
        if (is_late or len(self._under_way) > self._most) and scope["path"] not in _ALWAYS_ANSWERED:
            self._metrics.pressure.shed_at_door.inc()
            raise Overloaded("this service has too many requests under way", retry_after_s=_RETRY_AFTER_S)
        repeated = [name for name, _ in scope["headers"] if name in _NO_SECOND]
        if len(repeated) != len(set(repeated)):
            raise InvalidRequest("a header that may stand once stands twice", code="repeated_header")
        host = _host_name(headers.get("host", ""))
        if host not in self._allowed_hosts and "*" not in self._allowed_hosts:
            raise InvalidRequest(
                "this service does not answer to that Host; add it to the allowed_hosts setting",
                param="Host",
                code="invalid_host",
            )


class _Exchange:
    """One request's two directions: adds the request id, notices a client that leaves."""

    def __init__(self, receive: Receive, send: Send, record: Record, headers: Mapping[str, str]) -> None:
        self._receive = receive
        self._send = send
        self.headers = headers
        self.record = record
        self.client_left = False
        self._started = False
        self._stop_watching: Callable[[], None] = lambda: None

    async def receive(self) -> Message:
        return await self._receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self.record.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.record.request_id.encode("ascii")),
            ]
        elif not message.get("more_body", False):
            self._stop_watching()  # the answer is out: a client that leaves now leaves satisfied
        await self._send(message)

    async def refuse(self, error: WaysideError, scope: Scope) -> None:
        self.record.error = error.code or error.type
        if self._started:
            # Too late for a status: the connection is cut so that half an answer cannot pass for one.
            raise ConnectionAbortedError(error.message)
        await error_response(error)(scope, self.receive, self.send)

    def watch_for_leaving(self, on_leaving: set[Callable[[], None]]) -> None:
        """From now on, a client that disconnects cancels this request. Call after the body is read."""
        task = asyncio.current_task()
        assert task is not None

        def leave() -> None:
            self.client_left = True
            task.cancel()

        on_leaving.add(leave)
        self._stop_watching = lambda: on_leaving.discard(leave)

    def stop_watching(self) -> None:
        self._stop_watching()


def headers_of(request: Request) -> Mapping[str, str]:
    """The request's headers by their names in lower case, decoded once: Starlette's search for each anew."""
    exchange: _Exchange = request.scope["wayside.exchange"]
    return exchange.headers


async def read_body(request: Request, settings: ServiceSettings) -> bytes:
    """The whole request body, then watch for the client leaving.

    Raises BodyTooLarge before reading when the length is announced, BodyTimeout when the body
    stalls or takes too long.
    """
    headers = headers_of(request)
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > settings.max_body_bytes:
        raise BodyTooLarge(f"the body is larger than {settings.max_body_bytes} bytes")
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise InvalidRequest("send the body without a content encoding", param="Content-Encoding")
    exchange: _Exchange = request.scope["wayside.exchange"]
    if request.scope.get("wayside.is_here"):  # whole already: there is nothing to wait for
        body = await _received(exchange, settings)
    else:
        body = await _received_in_time(exchange, settings)
    # A server that cannot tell (an in-process test transport) leaves nothing to watch.
    exchange.watch_for_leaving(request.scope.get("wayside.on_leaving", set()))
    return body


async def _received_in_time(exchange: _Exchange, settings: ServiceSettings) -> bytes:
    now = asyncio.get_running_loop().time
    give_up = now() + settings.body_timeout_s
    try:
        async with asyncio.timeout_at(min(give_up, now() + settings.body_stall_timeout_s)) as patience:
            return await _received(
                exchange,
                settings,
                lambda: patience.reschedule(min(give_up, now() + settings.body_stall_timeout_s)),
            )
    except TimeoutError as error:
        raise BodyTimeout("the body did not arrive in time") from error


async def _received(
    exchange: _Exchange, settings: ServiceSettings, on_part: Callable[[], None] = lambda: None
) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            exchange.client_left = True
            raise asyncio.CancelledError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > settings.max_body_bytes:
            raise BodyTooLarge(f"the body is larger than {settings.max_body_bytes} bytes")
        if not message.get("more_body", False):
            return b"".join(parts)
        on_part()


def error_response(error: WaysideError) -> Response:
    """The one rendering of an error."""
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, BodyTimeout):
        headers["connection"] = "close"
    return Response(envelope(error), error.status, headers, media_type="application/json")


async def render_wayside_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WaysideError)
    record_of(request.scope).error = error.code or error.type
    return error_response(error)


async def render_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in the envelope."""
    assert isinstance(error, HTTPException)
    known: WaysideError
    match error.status_code:
        case 404:
            known = NotFound("there is nothing at this path; the API is under /v1")
        case 405:
            known = MethodNotAllowed(f"{request.method} is not allowed here")
        case _:
            known = InvalidRequest(str(error.detail))
            known.status = error.status_code
    record_of(request.scope).error = known.code
    response = error_response(known)
    response.headers.update(error.headers or {})
    return response


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def _decoded(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Fields of one name are one list, in their order (RFC 9110, section 5.3)."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    if len(headers) < len(raw):
        headers = {}
        for name, value in raw:
            key, told = name.decode("latin-1"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {told}" if key in headers else told
    return headers


def _endpoint(path: str) -> str:
    label = ENDPOINTS.get(path)
    return label or next((name for start, name in FAMILIES.items() if path.startswith(start)), "other")


def _host_name(host: str) -> str:
    """The name of a Host header without its port (RFC 9110, section 7.2)."""
    name = host.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]


def _new_request_id() -> str:
    return f"req_{random.getrandbits(96):024x}"  # a name, not a secret: the kernel need not be asked


def _where(error: BaseException) -> dict[str, str | int]:
    """Type and place of an exception, without its message."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "unknown"
    return {"type": type(error).__name__, "at": place}
