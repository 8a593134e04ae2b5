"""What runs meet outside the cloud, in this process: a model that calls a tool so many times, and the tool.

The tool pays, and keeps a ledger by idempotency key. Both tell of each arrival, so that a measurement can
kill whoever asked at exactly that moment.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

import msgspec
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from bench.processes import free_port

Moment = Literal["model", "effect"]


def unwatched(moment: Moment) -> None:
    """Nothing is done about it."""


class World:
    """The ledger and the counts. Written by the server's thread, read by the one that measures."""

    def __init__(self, *, payments: int, pause_s: float) -> None:
        """A model calls the tool `payments` times, then ends; each answer takes `pause_s` seconds."""
        self.payments = payments
        self.pause_s = pause_s
        self.paid: dict[str, str] = {}
        """What took effect, by idempotency key: the run it was for."""
        self.calls: Counter[str] = Counter()
        """How often the tool was called, by idempotency key; from the second time on without effect."""
        self.moments = 0
        self.on: Callable[[Moment], None] = unwatched
        """Called as the moment comes, before it is answered."""
        self.port = free_port()

    def providers(self) -> str:
        """The cloud's providers file."""
        return (
            f'[providers.world]\nkind = "openai"\nbase_url = "http://127.0.0.1:{self.port}/v1"\n'
            '[[models]]\nname = "m"\nprovider = "world"\n'
            '[providers.script]\nkind = "scripted"\nreply = "Yes."\n'
            '[[models]]\nname = "script"\nprovider = "script"\n'
        )

    def tools(self) -> str:
        """The cloud's tools file."""
        return (
            f'[mcp.ledger]\nurl = "http://127.0.0.1:{self.port}/mcp"\n'
            'allowed_tools = ["pay"]\nagents = ["analysis"]\n'
        )

    def has_passed(self, moments: int) -> bool:
        return self.moments > moments

    def came(self, moment: Moment) -> None:
        self.moments += 1
        self.on(moment)


@contextmanager
def served(world: World) -> Iterator[World]:
    """The world on a loopback port, in a thread, for the time of the block."""
    server = uvicorn.Server(
        uvicorn.Config(_app(world), port=world.port, log_level="critical", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        yield world
    finally:
        server.should_exit = True
        thread.join(10)


def _app(world: World) -> Starlette:
    ledger = MCPServer("ledger")

    @ledger.tool(description="Pay for a run; paying twice under one key pays once")
    async def pay(run: str, number: int, ctx: Context[Any]) -> str:
        meta: Any = ctx.request_context.meta or {}
        key = meta["wayside/idempotency-key"]
        world.calls[key] += 1
        world.paid.setdefault(key, run)
        world.came("effect")
        await asyncio.sleep(world.pause_s)
        return f"paid {number}"

    async def chat(request: Request) -> JSONResponse:
        body = msgspec.json.decode(await request.body())
        world.came("model")
        await asyncio.sleep(world.pause_s)
        return JSONResponse(_said(body, world.payments))

    tools = ledger.streamable_http_app(stateless_http=True, json_response=True)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(tools.router.lifespan_context(tools))
            yield

    return Starlette(
        routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Mount("/", tools)], lifespan=lifespan
    )


def _said(body: Any, payments: int) -> dict[str, Any]:
    """The next payment of those asked for, else the end; what was paid stands in the messages."""
    done = sum(message["role"] == "tool" for message in body["messages"])
    name = next(one["content"] for one in body["messages"] if one["role"] == "user")
    message: dict[str, Any] = {"role": "assistant", "content": f"{name}: {done} paid"}
    if done < payments:
        arguments = msgspec.json.encode({"run": name, "number": done + 1}).decode()
        call = {"name": "ledger__pay", "arguments": arguments}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"call_{done}", "type": "function", "function": call}],
        }
    return {
        "id": "chatcmpl-world",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if done < payments else "stop"}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
