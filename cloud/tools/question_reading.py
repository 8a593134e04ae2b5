"""Takes a question's words apart: what is asked, of which columns, under which conditions. Pure."""

import calendar
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cloud.tools.columns import NUMBERS
from cloud.tools.question_marks import Asks, Day, Has, Mark, Month, Names, Number, name_words
from cloud.tools.question_words import EVENT_DATES, NAMES_NOT_QUANTITIES, PRICES, Sign
from cloud.tools.workspace import DescribedTable

Row = Sequence[str | None]
Test = Callable[[Row], bool]
_Condition = tuple[int, str, str, Test]
"""The column, the condition in SQL, in words, and as a test of a row's cells."""


class Unsure(Exception):
    """It may mean something else."""


@dataclass(kw_only=True, slots=True)
class Reading:
    """What the marks say, taken apart."""

    asks: list[Sign] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    words_before_columns: int = 0
    numbers: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    spoken: list[str] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)
    """The conditions again, on a row's cells."""
    is_testable: bool = True
    """Whether every condition is among the tests."""

    @property
    def where(self) -> str:
        return f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""

    @property
    def said(self) -> str:
        return f" where {' and '.join(self.spoken)}" if self.spoken else ""


class Sheet:
    """A table as a question sees it."""

    def __init__(self, table: DescribedTable) -> None:
        self.table = table

    def price(self) -> int:
        prices = [
            n for n, column in enumerate(self.table.columns) if " ".join(name_words(column.name)) in PRICES
        ]
        if len(prices) != 1:
            raise Unsure
        return prices[0]

    def date_column(self) -> int:
        dates = [n for n, column in enumerate(self.table.columns) if column.kind in ("date", "timestamp")]
        if len(dates) != 1 or self.said(dates[0]) not in EVENT_DATES:
            raise Unsure
        self.check_present(dates[0])
        return dates[0]

    def check_quantity(self, column: int, *, is_sum: bool) -> None:
        is_name = self.table.columns[column].name.split("_")[-1] in NAMES_NOT_QUANTITIES
        if self.kind(column) not in NUMBERS or is_name or (is_sum and self.table.columns[column].unit == "%"):
            raise Unsure
        self.check_present(column)

    def check_present(self, column: int) -> None:
        """A gap leaves open what the total is; two spellings of a word, how many groups there are."""
        cells = self.cells(column)
        wanted = str.isdigit if self.kind(column) in NUMBERS else str.isalnum
        if not all(any(map(wanted, cell)) for cell in cells):
            raise Unsure
        if len({cell.casefold() for cell in cells}) != len(set(cells)):
            raise Unsure

    def cells(self, column: int) -> list[str]:
        return [(row[column] or "").strip() for row in self.table.table.rows]

    def unit(self, column: int) -> str:
        return self.table.columns[column].unit

    def kind(self, column: int) -> str:
        return self.table.columns[column].kind

    def name(self, column: int) -> str:
        return f'"{self.table.columns[column].name}"'

    def said(self, column: int) -> str:
        return self.table.columns[column].name.replace("_", " ")

    def source(self) -> str:
        return f'"{self.table.table.name}"'


class Reader:
    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet

    def taken_apart(self, marks: list[Mark]) -> Reading:
        reading = Reading()
        self._take_comparisons(marks, reading)
        self._take_values(marks, reading)
        is_top = any(isinstance(mark, Asks) and mark.sign == "top" for mark in marks)
        at = 0
        while at < len(marks):
            match marks[at]:
                case mark if _groups(mark):
                    if at + 1 == len(marks) or not isinstance(follower := marks[at + 1], Names):
                        raise Unsure
                    if marks[at] == Asks(sign="per"):
                        reading.asks.append("per")
                    is_order = is_top and self._sheet.kind(follower.column) in NUMBERS
                    (reading.columns if is_order else reading.groups).append(follower.column)
                    at += 1
                case Asks(sign=sign):
                    reading.asks.append(sign)
                    reading.words_before_columns += not reading.columns
                case Names(column=column):
                    reading.columns.append(column)
                case Number(text=text):
                    reading.numbers.append(text)
                case _:
                    raise Unsure
            at += 1
        if len(reading.numbers) > is_top:
            raise Unsure
        return reading

    def _take_comparisons(self, marks: list[Mark], reading: Reading) -> None:
        """`price above 10`, or `more than 10 units`."""
        while (at := next((n for n, mark in enumerate(marks) if _compares(mark)), None)) is not None:
            sign, number = marks[at], marks[at + 1] if at + 1 < len(marks) else None
            if not isinstance(sign, Asks) or not isinstance(number, Number):
                raise Unsure
            before = marks[at - 1] if at else None
            after = marks[at + 2] if at + 2 < len(marks) else None
            if isinstance(before, Names) and self._sheet.kind(before.column) in NUMBERS:
                column, first, last = before.column, at - 1, at + 2
            elif isinstance(after, Names) and self._sheet.kind(after.column) in NUMBERS:
                column, first, last = after.column, at, at + 3
            else:
                raise Unsure
            del marks[first:last]
            reading.conditions.append(f"{self._sheet.name(column)} {sign.sign} {number.text}")
            reading.spoken.append(f"{self._sheet.said(column)} {sign.sign} {number.text}")
            reading.is_testable = False

    def _take_values(self, marks: list[Mark], reading: Reading) -> None:
        filtered: set[tuple[type[Mark], int]] = set()
        has_year = any(isinstance(mark, Number) and "1900" <= mark.text <= "2100" for mark in marks)
        at = len(marks)
        while at:
            at -= 1
            column, condition, spoken, test = self._condition(marks, at, has_year=has_year) or (
                None,
                "",
                "",
                None,
            )
            if column is None or test is None:
                continue
            if (type(marks[at]), column) in filtered:
                raise Unsure
            reading.conditions.insert(0, condition)
            reading.spoken.insert(0, spoken)
            reading.tests.append(test)
            filtered.add((type(marks[at]), column))
            del marks[at]
            # `region North`, `the North region`: the column is said with its value
            for near in (at - 1, at):
                if 0 <= near < len(marks) and marks[near] == Names(column=column):
                    if (
                        near
                        and isinstance(before := marks[near - 1], Asks)
                        and before.sign in ("group", "per")
                    ):
                        continue
                    del marks[near]
                    at = min(at, near)
                    break

    def _condition(self, marks: Sequence[Mark], at: int, *, has_year: bool) -> _Condition | None:
        match marks[at]:
            case Has(column=column, value=value):
                quoted = value.replace("'", "''")
                condition = f"{self._sheet.name(column)} = '{quoted}'"
                return column, condition, f"{self._sheet.said(column)} is {value}", _equals(column, value)
            case Month(number=number):
                column = self._sheet.date_column()
                if not has_year and len({cell[:4] for cell in self._sheet.cells(column)}) > 1:
                    raise Unsure
                test = _begins(column, 5, f"{number:02d}")
                condition = f"month({self._sheet.name(column)}) = {number}"
                return column, condition, f"the month is {calendar.month_name[number]}", test
            case Day(iso=iso):
                column = self._sheet.date_column()
                condition = f"CAST({self._sheet.name(column)} AS DATE) = '{iso}'"
                return column, condition, f"{self._sheet.said(column)} is {iso}", _begins(column, 0, iso)
            case Number(text=text) if len(text) == 4 and "1900" <= text <= "2100":
                return self._year(text, marks[at - 1] if at else None)
            case Number(text=text) if at and isinstance(before := marks[at - 1], Names):
                return self._numbered(before.column, text)
            case _:
                return None

    def _year(self, text: str, before: Mark | None) -> _Condition | None:
        years = [
            n for n, column in enumerate(self._sheet.table.columns) if name_words(column.name) == ("year",)
        ]
        if len(years) == 1 and self._sheet.kind(years[0]) == "integer":
            return self._numbered(years[0], text)
        if isinstance(before, Asks) and before.sign == "top":
            return None
        column = self._sheet.date_column()
        if not any(cell.startswith(text) for cell in self._sheet.cells(column)):
            raise Unsure
        return (
            column,
            f"year({self._sheet.name(column)}) = {text}",
            f"the year is {text}",
            _begins(column, 0, text),
        )

    def _numbered(self, column: int, text: str) -> _Condition | None:
        """`store 5`: a whole number that occurs in the column named before it."""
        if self._sheet.kind(column) != "integer" or text not in self._sheet.cells(column):
            raise Unsure
        return (
            column,
            f"{self._sheet.name(column)} = {text}",
            f"{self._sheet.said(column)} is {text}",
            _equals(column, text),
        )


def _compares(mark: Mark) -> bool:
    return isinstance(mark, Asks) and mark.sign in (">", ">=", "<", "<=")


def _groups(mark: Mark) -> bool:
    return isinstance(mark, Asks) and mark.sign in ("group", "per")


def _equals(column: int, value: str) -> Test:
    return lambda row: (row[column] or "").strip() == value


def _begins(column: int, at: int, text: str) -> Test:
    return lambda row: (row[column] or "").strip()[at:].startswith(text)
