"""The tool `draw_chart`: a chart of a query's result, as PNG or SVG."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cloud.domain import Artifact, ToolContext, ToolResult, ToolSpec
from cloud.tools import arguments as args
from cloud.tools.sandbox_jobs import Cell, Chart, ChartJob, Rows
from cloud.tools.selection import MAX_SQL_CHARACTERS, select
from cloud.tools.workspace import Workspace, failure

MAX_SERIES = 8
_MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml"}


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sql: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_SQL_CHARACTERS,
            description="SELECT whose first column is the x axis and whose others are the values",
        ),
    ]
    kind: Literal["bar", "line", "scatter", "histogram"] = "bar"
    title: Annotated[str, Meta(max_length=120)] = ""
    format: Literal["png", "svg"] = "png"


class DrawChart:
    spec = ToolSpec(
        name="draw_chart",
        description=(
            "Draw a bar, line or scatter chart or a histogram of one SELECT over the tables in the user's "
            "messages. The user gets the picture with the answer."
        ),
        parameters=args.schema(Arguments),
    )

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        selected = await select(arguments, Arguments, context, self._workspace, to="draw")
        if isinstance(selected, ToolResult):
            return selected
        given, found, rows = selected.given, selected.found, selected.rows
        job = _job(given, rows)
        if isinstance(job, str):
            return failure(f"This cannot be drawn: {job}", found)
        left = context.deadline - asyncio.get_running_loop().time()
        chart = await self._workspace.draw(job, remaining_s=left)
        if not isinstance(chart, Chart):
            return ToolResult(text="The chart could not be drawn in time.", is_error=True)
        artifact = Artifact(
            name=f"chart.{given.format}", media_type=_MEDIA_TYPES[given.format], content=chart.content
        )
        text = f"A {given.kind} chart of {len(rows.rows)} rows is drawn; the user gets it with the answer."
        return ToolResult(text=text, artifacts=(artifact,))


def _job(given: Arguments, rows: Rows) -> ChartJob | str:
    """What to draw, or why it cannot be drawn."""
    if rows.is_cut:
        return f"it has more than {len(rows.rows)} rows; group or limit them"
    if not rows.rows:
        return "the query has no rows"
    labels = [column.name for column in rows.columns]
    columns: list[Sequence[Cell]] = list(zip(*rows.rows, strict=True))
    if len(columns) == 1:
        if given.kind != "histogram":
            return "the query needs a column for the x axis and at least one of numbers"
        labels, columns = labels * 2, columns * 2
    if len(columns) > MAX_SERIES + 1:
        return f"more than {MAX_SERIES} columns of values"
    series = [_numbers(column) for column in columns[1:]]
    kept = tuple(values for values in series if values is not None)
    if len(kept) != len(series):
        return "every column but the first must hold numbers"
    return ChartJob(
        kind=given.kind,
        format=given.format,
        title=given.title,
        labels=tuple(labels),
        x=tuple(columns[0]),
        series=kept,
    )


def _numbers(column: Sequence[Cell]) -> tuple[float | None, ...] | None:
    """As a chart needs them: exact decimals come as text."""
    try:
        return tuple(None if cell is None else float(cell) for cell in column)
    except ValueError:
        return None
