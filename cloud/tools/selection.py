"""What tools share that compute with the user's tables: a SELECT among their arguments, and its rows."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from cloud.domain import ToolContext, ToolResult
from cloud.tools import arguments as args
from cloud.tools.sandbox_jobs import Failed, Rows
from cloud.tools.tables import Found
from cloud.tools.workspace import Workspace, failure

MAX_SQL_CHARACTERS = 10_000


class WithSql(Protocol):
    """Arguments that say what to select."""

    @property
    def sql(self) -> str: ...


T = TypeVar("T", bound=WithSql)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selected(Generic[T]):
    """The arguments, the tables there were, and the rows that the SELECT gave."""

    given: T
    found: Found
    rows: Rows


async def select(
    arguments: Mapping[str, Any], kind: type[T], context: ToolContext, workspace: Workspace, *, to: str
) -> Selected[T] | ToolResult:
    """What `arguments` select; else what to tell the model, which wanted it `to` do something."""
    given = args.read(arguments, kind)
    if isinstance(given, ToolResult):
        return given
    found = await workspace.found(context.request)
    if not found.tables:
        return failure(f"There is no table to {to}.", found)
    left = context.deadline - asyncio.get_running_loop().time()
    rows = await workspace.query(given.sql, found, remaining_s=left)
    if isinstance(rows, Failed):
        return failure(f"The query failed: {rows.message}", found)
    return Selected(given=given, found=found, rows=rows)
