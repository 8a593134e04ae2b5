"""The cloud as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from cloud import handlers, handlers_memories, handlers_runs, handlers_sessions, handlers_usage
from cloud.settings import CloudSettings
from cloud.wire.service.endpoints import Endpoint, healthz, service
from cloud.wire.service.observe import Instruments
from cloud.wiring import Cloud, open_cloud

Opener = Callable[[CloudSettings, Instruments], AbstractAsyncContextManager[Cloud]]


def create_app(settings: CloudSettings, instruments: Instruments, opener: Opener = open_cloud) -> Starlette:
    """The cloud; tests pass another opener to swap what it stands on."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with opener(settings, instruments) as cloud:
            yield {"cloud": cloud}

    return service(
        settings,
        instruments,
        routes=[
            Route("/v1/chat/completions", Endpoint(handlers.chat_completions), methods=["POST"]),
            *handlers_sessions.ROUTES,
            *handlers_memories.ROUTES,
            *handlers_runs.ROUTES,
            *handlers_usage.ROUTES,
            Route("/v1/models", handlers.models, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", handlers.readyz, methods=["GET"]),
            Route("/metrics", handlers.metrics, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
