"""What the sandbox is asked and what it answers: the messages between it and the cloud."""

from typing import Annotated

import msgspec
from msgspec import Meta

Cell = str | int | float | bool | None


class TableData(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    type: str
    """As DuckDB names it."""
    kind: str = ""
    unit: str = ""


class DescribeJob(msgspec.Struct, frozen=True, kw_only=True, tag="describe"):
    tables: tuple[TableData, ...]


class QueryJob(msgspec.Struct, frozen=True, kw_only=True, tag="query"):
    tables: tuple[TableData, ...]
    sql: str
    timeout_s: float
    max_rows: int
    max_bytes: int


class ChartJob(msgspec.Struct, frozen=True, kw_only=True, tag="chart"):
    kind: Annotated[str, Meta(pattern="^(bar|line|scatter|histogram)$")]
    format: Annotated[str, Meta(pattern="^(png|svg)$")]
    title: str
    labels: tuple[str, ...]
    """Of the x axis and of each series."""
    x: tuple[Cell, ...]
    series: tuple[tuple[float | None, ...], ...]


class ParseJob(msgspec.Struct, frozen=True, kw_only=True, tag="parse"):
    sql: str


Job = DescribeJob | QueryJob | ChartJob | ParseJob


class Described(msgspec.Struct, frozen=True, kw_only=True, tag="described"):
    """Of each table its columns."""

    tables: tuple[tuple[Column, ...], ...]


class Rows(msgspec.Struct, frozen=True, kw_only=True, tag="rows"):
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """Exact decimals, dates and whatever JSON has no word for are text."""
    is_cut: bool = False
    """There were more rows than were asked for."""


class Chart(msgspec.Struct, frozen=True, kw_only=True, tag="chart"):
    content: bytes


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    message: str


class Parsed(msgspec.Struct, frozen=True, kw_only=True, tag="parsed"):
    """The syntax tree, as DuckDB's `json_serialize_sql` writes it."""

    tree: str


Outcome = Described | Rows | Chart | Parsed | Failed
