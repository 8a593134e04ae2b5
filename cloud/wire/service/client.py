"""Calls an OpenAI-compatible service and yields its answer only while the answer is whole."""

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from cloud.wire import sse
from cloud.wire.answers import Outcome, outcome_of
from cloud.wire.errors import (
    DeadlineExceeded,
    UpstreamBroken,
    UpstreamRefused,
    UpstreamUnavailable,
    WaysideError,
)
from cloud.wire.headers import RETRY_AFTER
from cloud.wire.service.settings import Secret

_IDLE_CONNECTION_S = 30.0
_CLOSING_S = 0.2
_MAX_ERROR_BYTES = 64 * 1024
_RETRY_AFTER_S = 1
_LONGEST_RETRY_AFTER_S = 3600
_SAME_HERE = frozenset({400, 404, 409, 413, 422, 429, 503, 504})
"""Statuses of an upstream's error that mean the same to our caller."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on one call. Times in seconds, sizes in bytes."""

    connect_s: float = 1.5
    first_byte_s: float = 120.0
    stall_s: float = 60.0
    max_connections: int = 512
    max_event_bytes: int = 1024 * 1024
    max_answer_bytes: int = 16 * 1024 * 1024


class OpenAiClient:
    """One upstream behind one base URL, with a connection pool of its own."""

    def __init__(
        self, *, base_url: str, api_key: Secret, limits: Limits, session: aiohttp.ClientSession
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._completions = httpx.URL(f"{self._base_url}/chat/completions")
        # Uncompressed: an answer is a few kilobytes, and its first token should not wait for a block.
        self._headers = {"accept-encoding": "identity", "user-agent": "wayside"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key.reveal()}"
        self._limits = limits
        # The transport itself: redirects, cookies, proxies and encodings, which `AsyncClient` adds at twice
        # the cost, have no place between a router and its upstream.
        self._transport = AiohttpTransport(client=session)
        self._extensions = {"timeout": {"connect": limits.connect_s, "pool": limits.connect_s}}

    async def open(
        self, body: bytes, *, streams: bool, headers: Mapping[str, str], deadline: float
    ) -> "UpstreamAnswer":
        """Send a chat completion request and wait for the first document of the answer.

        `deadline` is on the event loop's clock. Raises UpstreamUnavailable, UpstreamRefused,
        UpstreamBroken or DeadlineExceeded; what it returns must be closed.
        """
        accept = sse.MEDIA_TYPE if streams else "application/json"
        response = await self._send(
            "POST",
            self._completions,
            {"content-type": "application/json", "accept": accept, **headers},
            body,
            deadline=deadline,
            limit_s=self._limits.first_byte_s,
        )
        answer = UpstreamAnswer(response, streams=streams, deadline=deadline, limits=self._limits)
        try:
            await answer.start()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def get(self, path: str, *, headers: Mapping[str, str], timeout_s: float) -> tuple[int, bytes]:
        """Status and body of a small GET, whatever the status."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        url = httpx.URL(self._base_url + path)
        response = await self._send("GET", url, headers, b"", deadline=deadline, limit_s=timeout_s)
        try:
            async with _Bounded(deadline, timeout_s):
                return response.status_code, await response.aread()
        finally:
            await response.aclose()

    async def _send(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        body: bytes,
        *,
        deadline: float,
        limit_s: float,
    ) -> httpx.Response:
        # The encoding is said because httpx would try every header to find it out, at each reading.
        sent = httpx.Headers({**self._headers, **headers}, encoding="ascii")
        request = httpx.Request(method, url, headers=sent, content=body, extensions=self._extensions)
        async with _Bounded(deadline, limit_s):
            return await self._transport.handle_async_request(request)


def new_session(limits: Limits) -> aiohttp.ClientSession:
    """The pool under a client: aiohttp's, which costs a quarter of httpx's own (docs/decisions)."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limits.max_connections, keepalive_timeout=_IDLE_CONNECTION_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


class UpstreamAnswer:
    """The documents of one answer: many chunks of a stream, or one completion.

    Iteration ends normally only after a whole answer: `[DONE]`, or a finish reason for every choice
    before the connection closed. Everything else raises.
    """

    def __init__(self, response: httpx.Response, *, streams: bool, deadline: float, limits: Limits) -> None:
        self._response = response
        self._streams = streams
        self._deadline = deadline
        self._limits = limits
        assert isinstance(response.stream, httpx.AsyncByteStream)
        # Asked not to compress, few do; for them httpx unpacks.
        is_packed = "content-encoding" in response.headers
        self._parts = response.aiter_bytes() if is_packed else response.stream.__aiter__()
        self._first: bytes | None = None
        self._rest: AsyncGenerator[bytes] | None = None
        self._said_done = False

    @property
    def headers(self) -> httpx.Headers:
        return self._response.headers

    async def start(self) -> None:
        """Turn an error status into its exception, and fetch the first document."""
        if self._response.status_code != 200:
            raise await self._refusal()
        expected = sse.MEDIA_TYPE if self._streams else "application/json"
        media_type = self._response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != expected:
            raise UpstreamBroken(
                f"the upstream answered with {media_type or 'no content type'}, not {expected}"
            )
        if not self._streams:
            self._first = await self._read_whole()
            return
        self._rest = self._read_stream()
        try:
            self._first = await anext(self._rest)
        except StopAsyncIteration:
            raise UpstreamBroken("the upstream's answer is empty") from None

    def __aiter__(self) -> "UpstreamAnswer":
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._rest is None:
            raise StopAsyncIteration
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Give the connection back, or cut it if the answer was not read to its end."""
        if self._rest is not None:
            await self._rest.aclose()
        if self._said_done:
            # The end of the body follows `[DONE]`; reading it is what lets the pool keep the connection.
            with suppress(TimeoutError, httpx.HTTPError, aiohttp.ClientError):
                async with asyncio.timeout(_CLOSING_S):
                    await anext(self._parts, None)
        await self._response.aclose()

    async def _read_whole(self) -> bytes:
        body = await self._read_body(self._limits.max_answer_bytes, self._limits.first_byte_s)
        if not _outcome(body).choices:
            raise UpstreamBroken("the upstream's answer holds no choices")
        return body

    async def _read_body(self, most: int, wait_s: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            async with _Bounded(self._deadline, wait_s):
                part = await anext(self._parts, None)
            if part is None:
                return b"".join(parts)
            wait_s = self._limits.stall_s
            parts.append(part)
            size += len(part)
            if size > most:
                raise UpstreamBroken(f"the upstream's answer is longer than {most} bytes")

    async def _read_stream(self) -> AsyncGenerator[bytes]:
        reader = sse.EventReader(max_event_bytes=self._limits.max_event_bytes)
        progress = _Progress()
        size = 0
        wait_s = self._limits.first_byte_s
        while True:
            async with _Bounded(self._deadline, wait_s):
                part = await anext(self._parts, None)
            wait_s = self._limits.stall_s
            if part is None:
                break
            size += len(part)
            if size > self._limits.max_answer_bytes:
                raise UpstreamBroken(
                    f"the upstream's stream is longer than {self._limits.max_answer_bytes} bytes"
                )
            for event in reader.feed(part):
                if event == sse.DONE:
                    self._said_done = True
                    return
                progress.see(event)
                yield event
        if reader.is_mid_event or not progress.is_complete:
            raise UpstreamBroken("the upstream's stream ended before the answer was complete")

    async def _refusal(self) -> WaysideError:
        """The upstream's error as its caller should hear it."""
        status = self._response.status_code
        try:
            error = _error_of(await self._read_body(_MAX_ERROR_BYTES, self._limits.stall_s))
        except WaysideError:
            error = None
        retry_after_s = _retry_after(self._response.headers.get(RETRY_AFTER))
        if status in (401, 403):
            return UpstreamBroken(
                "the upstream refused this service's own credential", code="upstream_credential"
            )
        if status in _SAME_HERE or 400 <= status < 500:
            if status in (429, 503) and retry_after_s is None:
                retry_after_s = _RETRY_AFTER_S
            error = error or {
                "message": f"the upstream answered with status {status}",
                "code": "upstream_error",
            }
            return UpstreamRefused(status=status, error=error, retry_after_s=retry_after_s)
        if error is not None:
            return UpstreamRefused(status=502, error=error, retry_after_s=retry_after_s)
        return UpstreamBroken(f"the upstream answered with status {status}", retry_after_s=retry_after_s)


class _Progress:
    """Whether the choices seen so far have all finished."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._finished: set[int] = set()

    def see(self, document: bytes) -> None:
        for choice in _outcome(document).choices:
            self._seen.add(choice.index)
            if choice.finish_reason is not None:
                self._finished.add(choice.index)

    @property
    def is_complete(self) -> bool:
        return bool(self._seen) and self._seen == self._finished


def _outcome(document: bytes) -> Outcome:
    outcome = outcome_of(document)
    if outcome.error is not None:
        message = (_error_of(document) or {}).get("message")
        raise UpstreamBroken(f"the upstream broke off: {message}" if message else "the upstream broke off")
    return outcome


def _error_of(body: bytes) -> dict[str, Any] | None:
    """The error object of an envelope, or of what other servers send in its place."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    error = document.get("error", document)
    if isinstance(error, str):
        return {"message": error}
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return error
    return None


def _retry_after(value: str | None) -> int | None:
    """Seconds of a Retry-After header; its date form is not used by model providers and is dropped."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    if math.isnan(seconds):
        return None
    return round(max(1, min(_LONGEST_RETRY_AFTER_S, seconds)))


class _Bounded:
    """Bounds a wait by the deadline and a limit, and turns transport errors into ours."""

    __slots__ = ("_by_deadline", "_timeout")

    def __init__(self, deadline: float, limit_s: float) -> None:
        limit = asyncio.get_running_loop().time() + limit_s
        self._by_deadline = deadline <= limit
        self._timeout = asyncio.timeout_at(min(deadline, limit))

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: Any
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            if self._by_deadline:
                raise DeadlineExceeded("the deadline passed before the answer was complete") from late
            raise UpstreamUnavailable("the upstream does not answer", retry_after_s=_RETRY_AFTER_S) from late
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            raise UpstreamUnavailable(
                "the upstream cannot be reached", retry_after_s=_RETRY_AFTER_S
            ) from error
        if isinstance(error, httpx.HTTPError | aiohttp.ClientError | OSError):
            raise UpstreamBroken("the connection to the upstream broke") from error
