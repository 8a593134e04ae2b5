"""The tool `describe_tables`: which tables the user supplied, with types and samples."""

from collections.abc import Mapping
from typing import Any

from cloud.domain import ToolContext, ToolResult, ToolSpec
from cloud.tools.workspace import DescribedTable, Workspace, failure

_SAMPLES = 3
_MAX_CELL = 40


class DescribeTables:
    spec = ToolSpec(
        name="describe_tables",
        description="List the tables in the user's messages: names, columns, types, rows, sample values.",
        parameters={"type": "object", "properties": {}, "additionalProperties": False},
    )

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        found = await self._workspace.found(context.request)
        if not found.tables:
            return failure("There is no table.", found)
        described = await self._workspace.described(found)
        if not described:
            return failure("The tables could not be read in time.", found)
        lines = [line for entry in described for line in _lines(entry)]
        lines += [f"A table could not be read: {problem}" for problem in found.problems]
        return ToolResult(text="\n".join(lines), is_untrusted=True)


def _lines(entry: DescribedTable) -> list[str]:
    lines = [f"Table {entry.table.name}, {len(entry.table.rows)} rows:"]
    for index, column in enumerate(entry.columns):
        values = dict.fromkeys(row[index] for row in entry.table.rows if row[index])
        samples = ", ".join(str(value)[:_MAX_CELL] for value in list(values)[:_SAMPLES])
        unit = f" in {column.unit}" if column.unit else ""
        lines.append(f"- {column.name} {column.type}{unit}: {samples}")
    return lines
