"""An MCP server as a process of its own: `python -m tests.support.mcp_process stdio`, or `http PORT`.

Its tools add, fail, hang, die, say much, and count how often an idempotency key took effect.
"""

import asyncio
import os
import sys
import time
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import ToolAnnotations

server = MCPServer("support")
_done: dict[str, int] = {}


@server.tool(description="Add two numbers", annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> str:
    return str(a + b)


@server.tool()
def fail() -> str:
    raise ValueError("no such account")


@server.tool()
async def hang() -> str:
    await asyncio.sleep(3600)
    return "never"


@server.tool()
async def freeze() -> str:
    """Block the whole server."""
    time.sleep(3600)  # noqa: ASYNC251 - as a server would that is broken
    return "never"


@server.tool()
def die() -> str:
    os._exit(9)


@server.tool()
def talk(length: int) -> str:
    return "x" * length


@server.tool(name="dots.and spaces")
def dots() -> str:
    return "dotted"


@server.tool()
def process() -> str:
    return str(os.getpid())


@server.tool()
def environment(variable: str) -> str:
    return os.environ.get(variable, "(not set)")


@server.tool()
def pay(amount: int, ctx: Context[Any]) -> str:
    meta: Any = ctx.request_context.meta or {}
    key = meta["wayside/idempotency-key"]
    _done.setdefault(key, amount)
    return f"paid {sum(_done.values())} in total"


if __name__ == "__main__":
    if sys.argv[1] == "http":
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run()
