"""The runs' own HTTP: list, show, cancel, follow, and what they made."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from cloud.domain_runs import ENDED
from cloud.handlers import cloud_of, tenant_of, whole_number
from cloud.run_view import shown, step_shown
from cloud.wire import sse
from cloud.wire.errors import NotFound
from cloud.wire.service.intake import json_response

_USUAL_PAGE, _LARGEST_PAGE = 50, 200
_POLL_S = 0.2
_KEEP_ALIVE_S = 15.0
_number = partial(whole_number, digits=10)


async def listed(request: Request) -> Response:
    """The newest first, without their steps."""
    limit = _number(request.query_params.get("limit"), "limit", usual=_USUAL_PAGE, most=_LARGEST_PAGE)
    found = await cloud_of(request).runs.listed(
        tenant_of(request), limit=limit, user=request.query_params.get("user")
    )
    return json_response({"object": "list", "data": [shown(run) for run in found]})


async def found(request: Request) -> Response:
    run = await cloud_of(request).runs.find(tenant_of(request), request.path_params["id"])
    return json_response(shown(run))


async def cancelled(request: Request) -> Response:
    tenant, runs = tenant_of(request), cloud_of(request).runs
    await runs.cancel(tenant, request.path_params["id"])
    return json_response(shown(await runs.find(tenant, request.path_params["id"])))


async def artifact(request: Request) -> Response:
    run = await cloud_of(request).runs.find(tenant_of(request), request.path_params["id"])
    number = _number(request.path_params["number"], "number", usual=0, most=10_000)
    if number >= len(run.artifacts):
        raise NotFound(f"the run has no artifact {number}")
    made = run.artifacts[number]
    # It may come from a tool of somebody else's: a browser keeps it, and runs nothing in it.
    headers = {
        "content-disposition": "attachment",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'",
    }
    return Response(made.content, media_type=made.media_type, headers=headers)


async def events(request: Request) -> Response:
    """Each step as it is recorded, then the run. `Last-Event-ID` goes on after the step of that number."""
    tenant, run = tenant_of(request), request.path_params["id"]
    runs = cloud_of(request).runs
    after = _number(request.headers.get("last-event-id"), "Last-Event-ID", usual=0, most=10**9)
    await runs.find(tenant, run)  # a run that is not there gets its 404 as a status

    async def told() -> AsyncGenerator[bytes]:
        seen, silent_s = after, 0.0
        while True:
            now = await runs.find(tenant, run)
            for step in now.steps:
                if step.number > seen:
                    seen, silent_s = step.number, 0.0
                    yield _event("step", step_shown(step), seen)
            if now.status in ENDED:
                yield _event("run", shown(now), None)
                return
            if silent_s >= _KEEP_ALIVE_S:
                silent_s = 0.0
                yield b": waiting\n\n"
            await asyncio.sleep(_POLL_S)
            silent_s += _POLL_S

    return StreamingResponse(told(), media_type=sse.MEDIA_TYPE, headers={"cache-control": "no-store"})


ROUTES = (
    Route("/v1/runs", listed, methods=["GET"]),
    Route("/v1/runs/{id}", found, methods=["GET"]),
    Route("/v1/runs/{id}/cancel", cancelled, methods=["POST"]),
    Route("/v1/runs/{id}/events", events, methods=["GET"]),
    Route("/v1/runs/{id}/artifacts/{number}", artifact, methods=["GET"]),
)


def _event(kind: str, data: Mapping[str, Any], number: int | None) -> bytes:
    identity = b"" if number is None else f"id: {number}\n".encode()
    return b"%bevent: %b\ndata: %b\n\n" % (identity, kind.encode(), msgspec.json.encode(data))
