"""MCP servers, real processes over both transports: used, limited, killed, hung; never a crash."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from cloud.domain import ToolResult
from cloud.tools.mcp_server import Endpoint, McpServer
from cloud.tools.mcp_tool import McpTool, function_name
from tests.support.tools import context

pytestmark = pytest.mark.anyio

Restart = Callable[[], Awaitable[None]]
STDIO = Endpoint(command=[sys.executable, "-m", "tests.support.mcp_process", "stdio"], connect_timeout_s=30)


def tool(server: McpServer, name: str, *, timeout_s: float = 20.0, max_result_bytes: int = 1_000) -> McpTool:
    return McpTool(
        server,
        name,
        agents=["analysis"],
        tenants=["acme"],
        timeout_s=timeout_s,
        max_result_bytes=max_result_bytes,
    )


async def call(server: McpServer, name: str, timeout_s: float = 20.0, **arguments: Any) -> ToolResult:
    return await tool(server, name, timeout_s=timeout_s).call(arguments, context())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listening(port: int) -> None:
    for _ in range(600):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        await writer.wait_closed()
        return
    raise AssertionError("the server did not start")


@pytest.fixture(params=["stdio", "http"])
async def reached(request: pytest.FixtureRequest) -> AsyncIterator[tuple[McpServer, Restart]]:
    """A server, and what starts it again; one behind stdio is started by its client."""
    process: subprocess.Popen[bytes] | None = None
    port = free_port()

    async def restart() -> None:
        nonlocal process
        if request.param == "stdio":
            return
        if process is not None:
            process.kill()
            process.wait()
        command = [sys.executable, "-m", "tests.support.mcp_process", "http", str(port)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        await _listening(port)

    await restart()
    endpoint = STDIO if request.param == "stdio" else Endpoint(url=f"http://127.0.0.1:{port}/mcp")
    server = McpServer("support", endpoint)
    try:
        yield server, restart
    finally:
        await server.close()
        if process is not None:
            process.kill()
            process.wait()


async def test_a_tool_is_called_and_its_result_is_content(reached: tuple[McpServer, Restart]) -> None:
    server, _ = reached
    result = await call(server, "add", a=1, b=2)
    assert (result.text, result.is_error, result.is_untrusted) == ("3", False, True)
    spec = tool(server, "add").spec
    assert (spec.name, spec.description, spec.has_side_effects) == ("support__add", "Add two numbers", False)
    assert set(spec.parameters["properties"]) == {"a", "b"}
    assert tool(server, "pay").spec.has_side_effects


async def test_what_goes_wrong_is_a_result(reached: tuple[McpServer, Restart]) -> None:
    server, _ = reached
    for name in ("fail", "no_such_tool", "add"):
        result = await call(server, name, a="x")
        assert result.is_error
        assert result.text
    assert (await call(server, "add", a=1, b=2)).text == "3"


async def test_results_are_cut(reached: tuple[McpServer, Restart]) -> None:
    server, _ = reached
    result = await call(server, "talk", length=100_000)
    assert len(result.text) < 1_100
    assert result.text.endswith("(cut: the result has 100000 bytes)")


async def test_a_step_done_twice_takes_effect_once(reached: tuple[McpServer, Restart]) -> None:
    server, _ = reached
    for _ in range(2):
        assert (await call(server, "pay", amount=5)).text == "paid 5 in total"


async def test_a_call_that_hangs_is_given_up_and_others_go_on(reached: tuple[McpServer, Restart]) -> None:
    server, _ = reached
    assert (await call(server, "add", a=1, b=1)).text == "2"
    hanging = asyncio.create_task(call(server, "hang", timeout_s=0.5))
    assert (await call(server, "add", a=1, b=2)).text == "3"
    result = await hanging
    assert result.is_error
    assert "longer than 0.5 s" in result.text
    assert (await call(server, "add", a=1, b=3)).text == "4"


async def test_a_server_killed_in_a_call_is_an_error_and_is_back_for_the_next(
    reached: tuple[McpServer, Restart],
) -> None:
    server, restart = reached
    process = int((await call(server, "process")).text)
    hanging = asyncio.create_task(call(server, "hang"))
    await asyncio.sleep(0.2)
    os.kill(process, signal.SIGKILL)
    result = await hanging
    assert result.is_error
    assert "went away" in result.text
    await restart()
    assert (await call(server, "add", a=1, b=2)).text == "3"


async def test_a_server_that_dies_between_calls_is_not_noticed(reached: tuple[McpServer, Restart]) -> None:
    server, restart = reached
    process = int((await call(server, "process")).text)
    os.kill(process, signal.SIGKILL)
    await restart()
    await asyncio.sleep(0.2)
    assert (await call(server, "add", a=1, b=2)).text == "3"


async def test_a_frozen_server_is_given_up_and_started_again(reached: tuple[McpServer, Restart]) -> None:
    server, restart = reached
    await call(server, "add", a=1, b=1)
    assert (await call(server, "freeze", timeout_s=0.5)).is_error
    await restart()
    assert (await call(server, "add", a=1, b=2)).text == "3"


async def test_a_server_that_is_not_there_is_said_at_once() -> None:
    for endpoint in (
        Endpoint(command=["/nonexistent/server"]),
        Endpoint(command=[sys.executable, "-c", "pass"]),
        Endpoint(url=f"http://127.0.0.1:{free_port()}/mcp"),
    ):
        server = McpServer("gone", endpoint)
        result = await call(server, "add", a=1, b=2)
        assert result.is_error
        assert "cannot be reached" in result.text
        again = await call(server, "add", a=1, b=2)
        assert "could not be reached a moment ago" in again.text
        assert tool(server, "add").spec.parameters == {"type": "object"}
        await server.close()


async def test_only_agents_and_tenants_on_the_list_may_call() -> None:
    server = McpServer("support", Endpoint(command=["/nonexistent/server"]))
    for asker in (context(agent="chat"), context(tenant="other")):
        result = await tool(server, "add").call({"a": 1, "b": 2}, asker)
        assert "not for this agent" in result.text


async def test_a_command_gets_the_variables_it_was_given_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAYSIDE_SECRET", "ours")
    endpoint = Endpoint(command=STDIO.command, environment={"TOKEN": "theirs"}, connect_timeout_s=30)
    server = McpServer("support", endpoint)
    try:
        assert (await call(server, "environment", variable="TOKEN")).text == "theirs"
        assert (await call(server, "environment", variable="WAYSIDE_SECRET")).text == "(not set)"
    finally:
        await server.close()


def test_names_are_functions_names() -> None:
    assert function_name("crm", "find_account") == "crm__find_account"
    odd = [
        function_name("crm", name) for name in ("dots.and spaces", "dots_and spaces", "x" * 100, "y" * 100)
    ]
    assert len(set(odd)) == 4
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in odd)
