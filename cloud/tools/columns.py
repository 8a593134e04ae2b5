"""What the cells of a column are: whole numbers, decimals, dates, text; and how DuckDB stores them. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

Kind = Literal["integer", "decimal", "double", "date", "timestamp", "boolean", "text"]
NUMBERS: tuple[Kind, ...] = ("integer", "decimal", "double")

_MAX_DIGITS = 38
_MISSING = frozenset(("", "na", "n/a", "null", "none", "nan", "-", "–", "—"))
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<before>[$€£¥]?)\s?(?P<digits>\d{1,3}(?:,\d{3})+|\d+)(?P<decimals>\.\d+)?"
    r"\s?(?P<behind>[%€£¥]?)"
)
_SCIENTIFIC = re.compile(r"[+-]?\d(?:\.\d{1,14})?[eE][+-]?\d{1,3}")
_SHORT = re.compile(r"[+-]?(?=[\d.]{1,15}$)(?:0|[1-9]\d*)(?:\.\d+)?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class TypedColumn:
    """A column ready to be stored."""

    kind: Kind
    sql_type: str
    cells: tuple[str | None, ...]
    """As the type is written; None where the cell is empty or says that there is no value."""
    unit: str = ""
    """A currency sign or `%`, where all the numbers have the same."""


def typed(cells: Sequence[str | None]) -> TypedColumn:
    """The narrowest type that holds every cell exactly; text where there is none.

    Numbers may have a sign, groups of three, a currency sign or a percent sign; a number that begins
    with 0 is a name for something and stays text, as does a column whose units differ.
    """
    stripped = [None if cell is None else cell.strip() for cell in cells]
    present = [cell for cell in stripped if cell is not None and cell.lower() not in _MISSING]
    if present:
        for attempt in (_numbers, _doubles, _dates, _timestamps, _booleans):
            column = attempt(present)
            if column is not None:
                return _with_gaps(column, stripped)
    # In a column of text, `NA` and `none` are words like others.
    return TypedColumn(kind="text", sql_type="VARCHAR", cells=tuple(cell or None for cell in stripped))


def _with_gaps(column: TypedColumn, stripped: Sequence[str | None]) -> TypedColumn:
    rest = iter(column.cells)
    cells = tuple(None if cell is None or cell.lower() in _MISSING else next(rest) for cell in stripped)
    return TypedColumn(kind=column.kind, sql_type=column.sql_type, cells=cells, unit=column.unit)


def _numbers(cells: Sequence[str]) -> TypedColumn | None:
    units: set[str] = set()
    numbers: list[str] = []
    whole = scale = 0
    for cell in cells:
        match = _NUMBER.fullmatch(cell)
        if match is None or (match["before"] and match["behind"]):
            return None
        digits = match["digits"].replace(",", "")
        if digits[0] == "0" and len(digits) > 1:
            return None
        decimals = match["decimals"] or ""
        units.add(match["before"] or match["behind"])
        whole = max(whole, len(digits))
        scale = max(scale, len(decimals) - 1)
        numbers.append(match["sign"].replace("+", "") + digits + decimals)
    if len(units) != 1 or whole + scale > _MAX_DIGITS:
        return None
    (unit,) = units
    if scale == 0 and whole <= 18:
        return TypedColumn(kind="integer", sql_type="BIGINT", cells=tuple(numbers), unit=unit)
    return TypedColumn(
        kind="decimal" if scale else "integer",
        sql_type=f"DECIMAL({_MAX_DIGITS if whole + scale > 18 else 18}, {scale})",
        cells=tuple(numbers),
        unit=unit,
    )


def _doubles(cells: Sequence[str]) -> TypedColumn | None:
    """Numbers of which some are in scientific notation; a long one would lose digits."""
    if not all(_SCIENTIFIC.fullmatch(cell) or _SHORT.fullmatch(cell) for cell in cells):
        return None
    return TypedColumn(kind="double", sql_type="DOUBLE", cells=tuple(cells))


def _dates(cells: Sequence[str]) -> TypedColumn | None:
    if not all(_DATE.fullmatch(cell) and _is_iso(date, cell) for cell in cells):
        return None
    return TypedColumn(kind="date", sql_type="DATE", cells=tuple(cells))


def _timestamps(cells: Sequence[str]) -> TypedColumn | None:
    if not all(_TIMESTAMP.fullmatch(cell) and _is_iso(datetime, cell) for cell in cells):
        return None
    return TypedColumn(kind="timestamp", sql_type="TIMESTAMP", cells=tuple(cells))


def _booleans(cells: Sequence[str]) -> TypedColumn | None:
    if not all(cell.lower() in ("true", "false") for cell in cells):
        return None
    return TypedColumn(kind="boolean", sql_type="BOOLEAN", cells=tuple(cell.lower() for cell in cells))


def _is_iso(kind: type[date], cell: str) -> bool:
    try:
        kind.fromisoformat(cell)
    except ValueError:
        return False
    return True
