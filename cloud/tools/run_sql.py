"""The tool `run_sql`: one SELECT over the tables that the user supplied, computed by DuckDB."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.domain import ToolContext, ToolResult, ToolSpec
from cloud.tools import arguments as args
from cloud.tools.results import as_table
from cloud.tools.sandbox_jobs import Failed
from cloud.tools.workspace import Workspace, failure

MAX_SQL_CHARACTERS = 10_000


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sql: Annotated[
        str,
        Meta(min_length=1, max_length=MAX_SQL_CHARACTERS, description="One SELECT statement (DuckDB SQL)"),
    ]


class RunSql:
    """The result is marked as untrusted: cells are the user's data, not instructions."""

    spec = ToolSpec(
        name="run_sql",
        description=(
            "Run one SELECT (DuckDB SQL) over the tables in the user's messages. Use it for every number "
            "that comes from a table. `describe_tables` says which tables and columns there are."
        ),
        parameters=args.schema(Arguments),
    )

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        given = args.read(arguments, Arguments)
        if isinstance(given, ToolResult):
            return given
        found = await self._workspace.found(context.request)
        if not found.tables:
            return failure("There is no table to query.", found)
        left = context.deadline - asyncio.get_running_loop().time()
        rows = await self._workspace.query(given.sql, found, remaining_s=left)
        if isinstance(rows, Failed):
            return failure(f"The query failed: {rows.message}", found)
        return ToolResult(text=as_table(rows), is_untrusted=True)
