"""Finds the tables that stand in a request's messages: CSV, TSV, Markdown, JSON. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.tools.table_blocks import blocks_of, title_above
from cloud.wire.chat import Message

MAX_TABLES = 16
MAX_CELLS = 200_000
MAX_CHARACTERS = 2_000_000
"""Of all the messages looked at together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A rectangle of cells, as they were written."""

    name: str
    columns: tuple[str, ...]
    """Names that SQL takes without quotes, all different."""
    rows: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What stands in the messages."""

    tables: tuple[Table, ...]
    problems: tuple[str, ...]
    """What looks like a table and is not one that can be trusted, each with its line."""
    question: str
    """The last user message without its tables."""


def find_tables(messages: Sequence[Message]) -> Found:
    """Every table that system and user messages hold, in their order.

    A table with a row too long or too short is named as a problem and left out: half of a table gives
    wrong answers. So is one beyond the limits.
    """
    tables: list[Table] = []
    problems: list[str] = []
    question = ""
    characters = cells = 0
    for number, message in enumerate(messages):
        if message.role not in ("system", "developer", "user"):
            continue
        text = message.text
        characters += len(text)
        if characters > MAX_CHARACTERS:
            problems.append(
                f"messages[{number}]: more than {MAX_CHARACTERS} characters; not searched for tables"
            )
            break
        lines = text.splitlines()
        rest: list[str] = []
        at = 0
        for block in blocks_of(lines):
            has_title = block.first > at and bool(title_above(lines, block.first))
            rest.extend(lines[at : block.first - has_title])
            at = block.last
            if block.problem is not None:
                line, what = block.problem
                problems.append(f"messages[{number}], line {line + 1}: {what}")
                continue
            cells += len(block.rows) * len(block.header)
            where = f"messages[{number}], line {block.first + 1}"
            if cells > MAX_CELLS or len(tables) == MAX_TABLES:
                problems.append(f"{where}: more than {MAX_CELLS} cells or {MAX_TABLES} tables; left out")
                continue
            title = _identifier(block.title, f"table{len(tables) + 1}")
            tables.append(
                Table(
                    name=_unused(title, {table.name for table in tables}),
                    columns=_column_names(block.header),
                    rows=block.rows,
                )
            )
        rest.extend(lines[at:])
        if message.role == "user":
            question = "\n".join(rest).strip()
    return Found(tables=tuple(tables), problems=tuple(problems), question=question)


def _column_names(header: Sequence[str]) -> tuple[str, ...]:
    names: list[str] = []
    for number, cell in enumerate(header, start=1):
        names.append(_unused(_identifier(cell, f"column{number}"), set(names)))
    return tuple(names)


def _identifier(text: str, otherwise: str) -> str:
    name = re.sub(r"\W+", "_", text.strip().lower().replace("%", " percent ")).strip("_")[:60]
    if not name:
        return otherwise
    return f"c_{name}" if name[0].isdigit() else name


def _unused(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name}_{n}" for n in range(2, len(taken) + 3) if f"{name}_{n}" not in taken)
