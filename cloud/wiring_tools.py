"""Opens the tools: the sandbox, databases, MCP servers; and closes them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from cloud.ports import Recall, Tool
from cloud.tools.calculate import Calculate
from cloud.tools.describe_tables import DescribeTables
from cloud.tools.draw_chart import DrawChart
from cloud.tools.plain_answers import PlainAnswers
from cloud.tools.run_sql import RunSql
from cloud.tools.sandbox import open_sandbox
from cloud.tools.search import search_documents, search_memory
from cloud.tools.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Toolbox:
    """What agents can have done."""

    tools: Mapping[str, Tool]
    """By name, as a model calls them."""
    plain_answers: PlainAnswers


@asynccontextmanager
async def open_tools(*, recall: Recall | None) -> AsyncIterator[Toolbox]:
    """Every tool there is; nothing heavy is imported or started before it is first used."""
    async with AsyncExitStack() as stack:
        workspace = Workspace(await stack.enter_async_context(open_sandbox()))
        tools: list[Tool] = [Calculate(), RunSql(workspace), DescribeTables(workspace), DrawChart(workspace)]
        if recall is not None:
            tools += [search_memory(recall), search_documents(recall)]
        yield Toolbox(tools={tool.spec.name: tool for tool in tools}, plain_answers=PlainAnswers(workspace))
