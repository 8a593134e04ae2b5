"""The tool `run_sql`: one SELECT over the tables that the user supplied, computed by DuckDB."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.domain import ToolContext, ToolResult, ToolSpec
from cloud.tools import arguments as args
from cloud.tools.results import as_table
from cloud.tools.selection import MAX_SQL_CHARACTERS, select
from cloud.tools.workspace import Workspace


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
        selected = await select(arguments, Arguments, context, self._workspace, to="query")
        if isinstance(selected, ToolResult):
            return selected
        return ToolResult(text=as_table(selected.rows), is_untrusted=True)
