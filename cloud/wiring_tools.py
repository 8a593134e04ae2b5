"""Opens the tools: the sandbox, operators' databases, MCP servers; and closes them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud.ports import Recall, Tool
from cloud.settings import CloudSettings
from cloud.tools import config
from cloud.tools.calculate import Calculate
from cloud.tools.config import DatabaseConfig, McpConfig, ToolsFile
from cloud.tools.describe_tables import DescribeTables
from cloud.tools.draw_chart import DrawChart
from cloud.tools.mcp_server import McpServer, ServerGone
from cloud.tools.mcp_tool import McpTool
from cloud.tools.operator_database import Allowed, database_of
from cloud.tools.plain_answers import PlainAnswers
from cloud.tools.query_database import QueryDatabase
from cloud.tools.run_sql import RunSql
from cloud.tools.sandbox import Sandbox, open_sandbox
from cloud.tools.search import search_documents, search_memory
from cloud.tools.workspace import Workspace
from cloud.wire.service.settings import StartUpError


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolbox:
    """What agents can have done."""

    tools: Mapping[str, Tool]
    """By name, as a model calls them."""
    plain_answers: PlainAnswers
    file: ToolsFile
    """`file.granted(agent)` names the tools that the operator gave an agent."""

    @property
    def granted(self) -> Mapping[str, tuple[str, ...]]:
        """Tools of the operator's, by the agents they are for."""
        agents = {agent for database in self.file.databases.values() for agent in database.agents}
        agents |= {agent for server in self.file.mcp.values() for agent in server.agents}
        return {agent: self.file.granted(agent) for agent in agents}


@asynccontextmanager
async def open_tools(settings: CloudSettings, *, recall: Recall | None) -> AsyncIterator[Toolbox]:
    """Every tool there is; nothing heavy is imported or started before it is first used.

    MCP servers are reached in the background, so that agents know what their tools take; one that
    cannot be is tried again when it is called. Raises StartUpError.
    """
    file = config.read(settings.tools_file)
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(
            open_sandbox(
                settings.data_dir / "sandbox",
                processes=settings.sandbox_processes,
                memory_mb=settings.sandbox_memory_mb,
            )
        )
        workspace = Workspace(sandbox)
        tools: list[Tool] = [Calculate(), RunSql(workspace), DescribeTables(workspace), DrawChart(workspace)]
        if recall is not None:
            tools += [search_memory(recall), search_documents(recall)]
        tools += [_database_tool(name, entry, sandbox) for name, entry in file.databases.items()]
        for name, entry in file.mcp.items():
            tools += await _mcp_tools(name, entry, stack)
        yield Toolbox(
            tools={tool.spec.name: tool for tool in tools},
            plain_answers=PlainAnswers(workspace),
            file=file,
        )


def _database_tool(name: str, entry: DatabaseConfig, sandbox: Sandbox) -> Tool:
    allowed = Allowed(
        tables=entry.tables,
        tenant_column=entry.tenant_column,
        schema=entry.schema,
        timeout_s=entry.timeout_s,
        max_rows=entry.max_rows,
    )
    try:
        database = database_of(config.database_url(name, entry), allowed)
    except ValueError as error:
        raise StartUpError(f"[databases.{name}] {entry.url_env}: {error}") from error
    return QueryDatabase(
        name,
        database,
        allowed=allowed,
        description=entry.description,
        agents=entry.agents,
        tenants=entry.tenants,
        sandbox=sandbox,
    )


async def _mcp_tools(name: str, entry: McpConfig, stack: AsyncExitStack) -> list[Tool]:
    server = McpServer(name, config.endpoint(name, entry))
    stack.push_async_callback(server.close)
    reaching = asyncio.create_task(_reach(server))
    stack.callback(reaching.cancel)
    return [
        McpTool(
            server,
            tool,
            agents=entry.agents,
            tenants=entry.tenants,
            timeout_s=entry.timeout_s,
            max_result_bytes=entry.max_result_bytes,
        )
        for tool in entry.allowed_tools
    ]


async def _reach(server: McpServer) -> None:
    with contextlib.suppress(ServerGone):
        await server.reach()
