"""Rows as text for a model or a reader: a Markdown table, cut where it is too long. Pure."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from cloud.tools.sandbox_jobs import Cell, Rows

MAX_SHOWN_CHARACTERS = 8_000


def as_table(rows: Rows, *, max_characters: int = MAX_SHOWN_CHARACTERS) -> str:
    """A Markdown table, and below it how many rows there are where that is not plain to see."""
    if not rows.columns:
        return "(no columns)"
    lines = [_line([column.name for column in rows.columns]), "|" + "---|" * len(rows.columns)]
    size = sum(map(len, lines))
    shown = 0
    for row in rows.rows:
        line = _line(row)
        size += len(line) + 1
        if size > max_characters:
            break
        lines.append(line)
        shown += 1
    if not rows.rows:
        lines.append("(no rows)")
    elif rows.is_cut or shown < len(rows.rows):
        lines.append(f"(the first {shown} rows; there are more)")
    return "\n".join(lines)


def as_text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case float():
            return f"{cell:.10g}"
        case _:
            return str(cell)


def cell_of(value: Any) -> Cell:
    """What a database gave, as a cell."""
    match value:
        case None | bool() | float() | str():
            return value
        case int():
            return value if abs(value) < 2**63 else str(value)
        case Decimal():
            text = f"{value:f}"
            return text.rstrip("0").rstrip(".") if "." in text else text
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case timedelta() | UUID():
            return str(value)
        case bytes():
            return value.hex()
        case _:
            return str(value)


def _line(cells: Sequence[Cell]) -> str:
    return "| " + " | ".join(as_text(cell).replace("|", r"\|").replace("\n", " ") for cell in cells) + " |"
