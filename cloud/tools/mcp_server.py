"""A connection to one MCP server: opened when first needed, opened again when it has died.

The `mcp` package is imported with the first connection, in a thread: it takes longer than a cloud takes
to start. A connection lives in a task of its own, because its scopes must be left in the task that
entered them.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from mcp.client import Client
    from mcp_types import CallToolResult, Tool

_MAX_PAGES = 10
_RETRY_AFTER_S = 2.0
"""For so long a server that could not be reached is not tried again."""
_CLOSE_S = 6.0
_DOUBT_S = 2.0
"""In which a server must answer that has let a call run into its time limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where a server is: a command to start, or a URL."""

    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the few variables that every child gets (PATH, HOME…); nothing else is passed on."""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    connect_timeout_s: float = 10.0


class ServerGone(Exception):
    """The server could not be reached, or died with the call: it may or may not have done its work."""


class McpServer:
    """Close with `close`, which ends a server that was started."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self.name = name
        self.tools: Mapping[str, Tool] = {}
        """By the server's own names; empty until it has been reached once."""
        self._endpoint = endpoint
        self._connecting = asyncio.Lock()
        self._live: _Live | None = None
        self._failed_at: float | None = None
        self._is_doubtful = False
        self._ending: set[asyncio.Task[None]] = set()

    async def call(
        self, tool: str, arguments: Mapping[str, Any], *, meta: Mapping[str, Any], timeout_s: float
    ) -> "CallToolResult":
        """Raises TimeoutError, ServerGone, or whatever the server answered as an error."""
        try:
            async with asyncio.timeout(timeout_s):
                live = await self._connected()
                try:
                    return await live.client.call_tool(tool, dict(arguments), meta=dict(meta))  # type: ignore[arg-type]
                except Exception as error:
                    if live.has_ended or _is_transport(error):
                        self._drop(live)
                        raise ServerGone(f"the server `{self.name}` went away during the call") from error
                    raise
        except TimeoutError:
            self._is_doubtful = True
            raise

    async def reach(self) -> None:
        """Connect and list the tools, if that has not been done. Raises ServerGone."""
        await self._connected()

    async def close(self) -> None:
        if self._live is not None:
            self._drop(self._live)
        if self._ending:
            _, late = await asyncio.wait(self._ending, timeout=_CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _connected(self) -> "_Live":
        async with self._connecting:
            if self._live is not None and self._is_doubtful:
                await self._check(self._live)
            self._is_doubtful = False
            if self._live is not None and not self._live.has_ended:
                return self._live
            now = asyncio.get_running_loop().time()
            if self._failed_at is not None and now - self._failed_at < _RETRY_AFTER_S:
                raise ServerGone(f"the server `{self.name}` could not be reached a moment ago")
            try:
                self._live = await _Live.open(self._endpoint)
            except Exception as error:  # whatever the package raises: the server is not there
                self._failed_at = asyncio.get_running_loop().time()
                raise ServerGone(f"the server `{self.name}` cannot be reached") from error
            self._failed_at = None
            self.tools = self._live.tools
            return self._live

    async def _check(self, live: "_Live") -> None:
        """A server that answers nothing any more is ended, and started again."""
        try:
            async with asyncio.timeout(_DOUBT_S):
                await live.client.list_tools()
        except Exception:  # as above
            self._drop(live)

    def _drop(self, live: "_Live") -> None:
        self._ending.add(live.task)
        live.task.add_done_callback(self._ending.discard)
        live.end()
        if self._live is live:
            self._live = None


class _Live:
    """An open connection and the task that owns it."""

    def __init__(self) -> None:
        self.client: Client
        self.tools: Mapping[str, Tool] = {}
        self._over = asyncio.Event()
        self.task: asyncio.Task[None]

    @classmethod
    async def open(cls, endpoint: Endpoint) -> "_Live":
        live = cls()
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        live.task = asyncio.create_task(live._own(endpoint, ready))
        try:
            async with asyncio.timeout(endpoint.connect_timeout_s):
                await ready
        except BaseException:
            live.task.cancel()
            raise
        return live

    @property
    def has_ended(self) -> bool:
        return self._over.is_set() or self.task.done()

    def end(self) -> None:
        self._over.set()

    async def _own(self, endpoint: Endpoint, ready: asyncio.Future[None]) -> None:
        try:
            client_type = await asyncio.to_thread(_client_type)
            async with client_type(_Watched(_transport(endpoint), self.end), cache=None) as client:
                self.client = client
                self.tools = await _listed(client)
                ready.set_result(None)
                await self._over.wait()
        except Exception as error:  # told to whoever waits; later it is a connection that has ended
            if not ready.done():
                ready.set_exception(error)
        finally:
            self.end()


async def _listed(client: "Client") -> "Mapping[str, Tool]":
    tools: dict[str, Tool] = {}
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools |= {tool.name: tool for tool in page.tools}
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


def _client_type() -> "type[Client]":
    from mcp.client import Client

    return Client


def _is_transport(error: Exception) -> bool:
    """Whether the connection failed, not the call."""
    from mcp.shared.exceptions import MCPError
    from mcp_types import CONNECTION_CLOSED

    return not isinstance(error, MCPError) or error.code == CONNECTION_CLOSED


@asynccontextmanager
async def _transport(endpoint: Endpoint) -> AsyncGenerator[Any]:
    """The package's own transport to the endpoint."""
    if endpoint.command:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        command, *arguments = endpoint.command
        parameters = StdioServerParameters(command=command, args=arguments, env=dict(endpoint.environment))
        async with stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr) as streams:
            yield streams
        return
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async with (
        create_mcp_http_client(headers=dict(endpoint.headers)) as http,
        streamable_http_client(endpoint.url, http_client=http) as streams,
    ):
        yield streams


class _Watched:
    """A transport that says when the server closes its end: a dead server is not found by the next call."""

    def __init__(self, transport: AbstractAsyncContextManager[Any], on_end: Callable[[], None]) -> None:
        self._transport = transport
        self._on_end = on_end

    async def __aenter__(self) -> tuple["_WatchedStream", Any]:
        read, write = await self._transport.__aenter__()
        return _WatchedStream(read, self._on_end), write

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._transport.__aexit__(kind, error, trace)


class _WatchedStream:
    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stream.__aexit__(*error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._on_end()
            raise
