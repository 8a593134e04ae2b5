"""The floor: a bare Starlette forwarder over httpx on aiohttp's transport. It checks nothing."""

import argparse
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from httpx_aiohttp import AiohttpTransport
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bench.upstream import completion


def create_canned_app() -> Starlette:
    """Reads the request, looks at nothing, and gives the static upstream's answer itself."""
    answer = completion()

    async def reply(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    return Starlette(routes=[Route("/v1/chat/completions", reply, methods=["POST"])])


def create_app(upstream: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with httpx.AsyncClient(transport=AiohttpTransport(), timeout=60, trust_env=False) as client:
            yield {"client": client}

    async def forward(request: Request) -> Response:
        client: httpx.AsyncClient = request.state.client
        headers = {"content-type": "application/json"}
        asked = client.build_request("POST", upstream, content=await request.body(), headers=headers)
        answer = await client.send(asked, stream=True)
        media_type = answer.headers["content-type"]
        if media_type.startswith("text/event-stream"):
            done = BackgroundTask(answer.aclose)
            return StreamingResponse(answer.aiter_raw(), answer.status_code, None, media_type, done)
        return Response(await answer.aread(), answer.status_code, None, media_type)

    return Starlette(routes=[Route("/v1/chat/completions", forward, methods=["POST"])], lifespan=lifespan)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.floor", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True, help="URL of its chat completions")
    parser.add_argument("--canned", action="store_true", help="answer without asking anybody")
    asked = parser.parse_args()
    uvicorn.run(
        create_canned_app() if asked.canned else create_app(asked.upstream),
        host="127.0.0.1",
        port=asked.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
