"""The tables of one request, and the sandbox that computes with them."""

import asyncio
from dataclasses import dataclass

from cloud.domain import ToolResult
from cloud.tools.sandbox import Sandbox
from cloud.tools.sandbox_jobs import (
    Chart,
    ChartJob,
    Column,
    Described,
    DescribeJob,
    Failed,
    QueryJob,
    Rows,
    TableData,
)
from cloud.tools.tables import Found, Table, find_tables
from cloud.wire.chat import ChatRequest

_FEW_CHARACTERS = 20_000
"""Searched in less time than a hop to another thread and back is worth."""

_CHART_TIMEOUT_S = 20.0
"""The first chart of a process loads its fonts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribedTable:
    """A table with the types that its cells turned out to have."""

    table: Table
    columns: tuple[Column, ...]


class Workspace:
    """Computes with what the user supplied, within limits of time and size."""

    def __init__(self, sandbox: Sandbox, *, timeout_s: float = 5.0, max_rows: int = 1_000) -> None:
        self._sandbox = sandbox
        self._timeout_s = timeout_s
        self._max_rows = max_rows

    async def found(self, request: ChatRequest | None) -> Found:
        messages = request.messages if request is not None else []
        if sum(len(message.text) for message in messages) < _FEW_CHARACTERS:
            return find_tables(messages)
        return await asyncio.to_thread(find_tables, messages)

    async def described(self, found: Found) -> tuple[DescribedTable, ...]:
        """The tables with their types; none where they cannot be read in time."""
        if not found.tables:
            return ()
        job = DescribeJob(tables=_data(found))
        outcome = await self._sandbox.run(job, timeout_s=self._timeout_s)
        if not isinstance(outcome, Described):
            return ()
        return tuple(
            DescribedTable(table=table, columns=columns)
            for table, columns in zip(found.tables, outcome.tables, strict=True)
        )

    async def query(self, sql: str, found: Found, *, remaining_s: float) -> Rows | Failed:
        """One SELECT over the tables found."""
        timeout_s = min(self._timeout_s, max(0.1, remaining_s))
        job = QueryJob(
            tables=_data(found), sql=sql, timeout_s=timeout_s, max_rows=self._max_rows, max_bytes=1_000_000
        )
        outcome = await self._sandbox.run(job, timeout_s=timeout_s)
        return outcome if isinstance(outcome, Rows | Failed) else Failed(message="it gave no rows")

    async def draw(self, job: ChartJob, *, remaining_s: float) -> Chart | Failed:
        outcome = await self._sandbox.run(job, timeout_s=min(_CHART_TIMEOUT_S, max(0.1, remaining_s)))
        return outcome if isinstance(outcome, Chart | Failed) else Failed(message="it gave no chart")


def failure(what: str, found: Found) -> ToolResult:
    """What went wrong, with what the model needs to do better: which tables there are."""
    lines = [what]
    lines += [f"Table {table.name}: columns {', '.join(table.columns)}" for table in found.tables]
    lines += [f"A table could not be read: {problem}" for problem in found.problems]
    if not found.tables and not found.problems:
        lines.append("The messages hold no table. Ask the user to paste one (CSV, Markdown or JSON).")
    return ToolResult(text="\n".join(lines), is_error=True)


def _data(found: Found) -> tuple[TableData, ...]:
    return tuple(TableData(name=table.name, columns=table.columns, rows=table.rows) for table in found.tables)
