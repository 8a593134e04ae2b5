"""What every service answers beside its own API: health, readiness, metrics, errors."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cloud.wire import headers as names
from cloud.wire.errors import UpstreamUnavailable, WaysideError
from cloud.wire.service.intake import Intake, json_response, render_http_exception, render_wayside_error
from cloud.wire.service.observe import Instruments, Metrics
from cloud.wire.service.settings import ServiceSettings, StartUpError

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[Mapping[str, Any]]]


def service(
    settings: ServiceSettings, instruments: Instruments, *, routes: Sequence[Route], lifespan: Lifespan
) -> Starlette:
    """An application behind the intake, whose errors all take the one envelope."""

    @asynccontextmanager
    async def told(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as stack:
            try:
                state = await stack.enter_async_context(lifespan(app))
            except StartUpError as error:
                print(f"wayside: {error}", file=sys.stderr, flush=True)
                raise
            yield state
        instruments.log.flush()

    return Starlette(
        routes=routes,
        middleware=[
            Middleware(
                Intake,
                settings=settings,
                metrics=instruments.metrics,
                log=instruments.log,
                tracing=instruments.tracing,
            )
        ],
        exception_handlers={WaysideError: render_wayside_error, HTTPException: render_http_exception},
        lifespan=told,
    )


class Endpoint:
    """A handler as a route's application.

    Starlette wraps a function in a second layer of error handling, which the first, around all routes,
    makes superfluous here; a class it takes as it is.
    """

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._handler(Request(scope, receive, send))
        await response(scope, receive, send)


async def healthz(request: Request) -> Response:
    """The process lives; nothing else is asked."""
    return json_response({"status": "ok"})


async def readiness(checks: Mapping[str, Callable[[], Awaitable[None]]]) -> Response:
    """Every dependency by name, asked at the same time; 503 as long as one of them does not answer."""

    async def state(check: Callable[[], Awaitable[None]]) -> str:
        try:
            await check()
        except UpstreamUnavailable as error:
            return error.message
        return "ok"

    states = dict(zip(checks, await asyncio.gather(*map(state, checks.values())), strict=True))
    is_ready = all(value == "ok" for value in states.values())
    return json_response(
        {"status": "ok" if is_ready else "unavailable", "dependencies": states}, 200 if is_ready else 503
    )


def metrics_page(metrics: Metrics) -> Response:
    """The Prometheus text exposition."""
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def deadline_of(headers: Mapping[str, str], settings: ServiceSettings) -> float:
    """When the caller stops waiting, on the event loop's clock; the setting's time if they do not say."""
    asked_ms = names.parse_deadline_ms(headers.get(names.DEADLINE_MS)) or settings.default_deadline_ms
    return asyncio.get_running_loop().time() + min(asked_ms, settings.max_deadline_ms) / 1000
