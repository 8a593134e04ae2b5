"""The edge as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from cloud.wire.service.endpoints import Endpoint, healthz, service
from cloud.wire.service.observe import Instruments
from edge import handlers
from edge.settings import EdgeSettings
from edge.wiring import Edge, open_edge

Opener = Callable[[EdgeSettings, Instruments], AbstractAsyncContextManager[Edge]]


def create_app(settings: EdgeSettings, instruments: Instruments, opener: Opener = open_edge) -> Starlette:
    """The edge; tests pass another opener to swap what it stands on."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with opener(settings, instruments) as edge:
            yield {"edge": edge}

    return service(
        settings,
        instruments,
        routes=[
            Route("/v1/chat/completions", Endpoint(handlers.chat_completions), methods=["POST"]),
            Route("/v1/models", handlers.models, methods=["GET"]),
            Route("/v1/route", handlers.route, methods=["POST"]),
            Route("/v1/cache", handlers.forget, methods=["DELETE"]),
            Route("/v1/feedback", handlers.feedback, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", handlers.readyz, methods=["GET"]),
            Route("/metrics", handlers.metrics, methods=["GET"]),
        ],
        lifespan=lifespan,
    )
