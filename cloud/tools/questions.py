"""Turns a plain question about one small table into SQL, only when it is sure what is asked. Pure.

A small model gets such questions wrong, SQL does not. A question is answered here when every word of it
is a column, a value that occurs, a number or a word whose meaning is fixed, and when they fit together
in one way only; else the model is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cloud.tools.columns import NUMBERS
from cloud.tools.question_marks import Mark, asks_otherwise, read
from cloud.tools.question_reading import Reader, Reading, Sheet, Unsure
from cloud.tools.question_words import SUMMARY_CELLS
from cloud.tools.results import as_table, as_text
from cloud.tools.sandbox_jobs import Rows
from cloud.tools.workspace import DescribedTable

Aggregate = Literal["sum", "avg", "median", "max", "min"]
_SPOKEN: dict[str, str] = {
    "sum": "total", "avg": "average", "median": "median", "max": "highest", "min": "lowest",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A question that is understood."""

    sql: str
    subject: str
    """What the result is, to be put in a sentence: `total revenue where month is March`."""
    unit: str = ""
    """A currency sign or `%`, of the result's last column."""


def plan(question: str, tables: Sequence[DescribedTable]) -> Plan | None:
    """The SQL that answers the question, or None where that is not sure."""
    if len(tables) != 1:
        return None
    (table,) = tables
    if any((cell or "").strip().lower() in SUMMARY_CELLS for row in table.table.rows for cell in row):
        return None
    marks = None if asks_otherwise(question) else read(question, table)
    if not marks:
        return None
    try:
        return _Planner(table).planned(marks)
    except Unsure:
        return None


def phrased(plan: Plan, rows: Rows) -> str:
    """The answer in a sentence or a table, with the SQL it comes from."""
    if not rows.rows or rows.rows == ((None,),):
        answer = f"There is no {plan.subject}."
    elif len(rows.rows) == 1:
        *before, value = rows.rows[0]
        shown = _with_unit(as_text(value), plan.unit)
        if before:
            answer = f"The {plan.subject}: **{', '.join(as_text(cell) for cell in before)}** ({shown})."
        else:
            answer = f"The {plan.subject} is **{shown}**."
    else:
        answer = f"The {plan.subject}:\n\n{as_table(rows)}"
    return f"{answer}\n\n```sql\n{plan.sql}\n```"


def _with_unit(text: str, unit: str) -> str:
    if unit in ("", "%"):
        return text + unit
    whole, point, decimals = text.partition(".")
    cents = f"{point}{decimals:0<2}" if point else ""
    return f"-{unit}{whole[1:]}{cents}" if whole.startswith("-") else f"{unit}{whole}{cents}"


class _Planner:
    def __init__(self, table: DescribedTable) -> None:
        self._sheet = Sheet(table)

    def planned(self, marks: Sequence[Mark]) -> Plan:
        reading = Reader(self._sheet).taken_apart(list(marks))
        asks = set(reading.asks)
        if len(reading.asks) != len(asks) or len(reading.groups) > 1:
            raise Unsure
        match sorted(asks - {"rows", "distinct", "who", "which", "per", "act"}):
            case ["count"] | ["count", "sum"]:
                return self._count(reading, is_distinct="distinct" in asks, rows="rows" in asks)
            case ["tally"] if "rows" in asks and not asks & {"distinct", "which", "who"}:
                return self._count(reading, is_distinct=False, rows=True)
            case _ if asks & {"rows", "distinct"}:
                raise Unsure
            case []:
                return self._selected(reading, which="which" in reading.asks)
            case [("sum" | "avg" | "median") as aggregate]:
                return self._aggregate(reading, aggregate)
            case [("max" | "min") as extreme]:
                return self._extreme(reading, extreme, None, who="who" in asks)
            case ["dearest" | "cheapest" as price]:
                reading.columns.append(self._sheet.price())
                return self._extreme(reading, "max" if price == "dearest" else "min", None, who="who" in asks)
            case [("avg" | "median") as aggregate, ("max" | "min") as extreme]:
                return self._extreme(reading, extreme, aggregate, who="who" in asks)
            case [("max" | "min") as extreme, ("median" | "sum") as aggregate]:
                return self._extreme(reading, extreme, aggregate, who="who" in asks)
            case ["top"]:
                return self._top(reading)
            case _:
                raise Unsure

    def _count(self, reading: Reading, *, is_distinct: bool, rows: bool) -> Plan:
        if rows and not reading.columns and not is_distinct:
            return self._plan(reading, "count(*)", "number of rows")
        if rows or len(reading.columns) != 1:
            raise Unsure
        (column,) = reading.columns
        if self._sheet.kind(column) in NUMBERS:
            if is_distinct or self._sheet.kind(column) != "integer" or self._sheet.unit(column):
                raise Unsure
            self._sheet.check_quantity(column, is_sum=True)
            return self._plan(
                reading, f"sum({self._sheet.name(column)})", f"total {self._sheet.said(column)}"
            )
        self._sheet.check_present(column)
        if not (is_distinct or self._is_unique(column, reading)) or "act" in reading.asks:
            raise Unsure  # `how many products were sold` asks for pieces
        return self._plan(
            reading,
            f"count(DISTINCT {self._sheet.name(column)})",
            f"number of different values of {self._sheet.said(column)}",
        )

    def _aggregate(self, reading: Reading, aggregate: Aggregate) -> Plan:
        if len(reading.columns) != 1 or "which" in reading.asks or "who" in reading.asks:
            raise Unsure
        (measure,) = reading.columns
        self._sheet.check_quantity(measure, is_sum=aggregate == "sum")
        if aggregate in ("avg", "median") and "per" in reading.asks:
            raise Unsure  # the average units per month may be that of the months' totals
        if aggregate == "avg" and not reading.words_before_columns:
            raise Unsure  # `what does the revenue mean` asks for no average
        subject = f"{_SPOKEN[aggregate]} {self._sheet.said(measure)}"
        return self._plan(reading, f"{aggregate}({self._sheet.name(measure)})", subject, measure)

    def _extreme(
        self, reading: Reading, extreme: Aggregate, aggregate: Aggregate | None, *, who: bool
    ) -> Plan:
        if who and len(reading.columns) == 1:
            labels = [n for n, column in enumerate(self._sheet.table.columns) if column.kind == "text"]
            if len(labels) != 1:
                raise Unsure
            reading.columns.insert(0, labels[0])
        if len(reading.columns) == 1 and aggregate is None:
            if "which" in reading.asks or who:
                raise Unsure
            return self._aggregate(reading, extreme)
        label, measure = self._label_and_measure(reading)
        order = "DESC" if extreme == "max" else "ASC"
        self._sheet.check_quantity(measure, is_sum=aggregate == "sum")
        where = reading.where
        name, value = self._sheet.name(label), self._sheet.name(measure)
        subject = f"{self._sheet.said(label)} with the {_SPOKEN[extreme]} "
        if aggregate is not None:
            value = f"{aggregate}({value})"
            subject += f"{_SPOKEN[aggregate]} "
            group = f" GROUP BY {name}"
        elif self._is_unique(label, reading):
            group = ""
        else:
            raise Unsure
        return Plan(
            sql=f"SELECT {name}, {value} AS value FROM {self._sheet.source()}{where}{group}"
            f" QUALIFY rank() OVER (ORDER BY {value} {order}) = 1",
            subject=subject + self._sheet.said(measure) + reading.said,
            unit=self._sheet.unit(measure),
        )

    def _top(self, reading: Reading) -> Plan:
        if len(reading.numbers) != 1 or not reading.numbers[0].isdigit():
            raise Unsure
        label, measure = self._label_and_measure(reading)
        self._sheet.check_quantity(measure, is_sum=False)
        if not self._is_unique(label, reading):
            raise Unsure
        (count,) = reading.numbers
        name, value = self._sheet.name(label), self._sheet.name(measure)
        return Plan(
            sql=f"SELECT {name}, {value} FROM {self._sheet.source()}{reading.where}"
            f" QUALIFY rank() OVER (ORDER BY {value} DESC) <= {count} ORDER BY {value} DESC",
            subject=f"top {count} {self._sheet.said(label)} by {self._sheet.said(measure)}{reading.said}",
            unit=self._sheet.unit(measure),
        )

    def _selected(self, reading: Reading, *, which: bool) -> Plan:
        """`the price of Widget`, one row's; or `which products have a price above 10`."""
        if len(reading.columns) != 1 or reading.groups or not reading.conditions or "who" in reading.asks:
            raise Unsure
        (column,) = reading.columns
        name = self._sheet.name(column)
        if which:
            self._sheet.check_present(column)
            if not reading.is_testable and not self._is_unique(column, reading):
                raise Unsure  # whether one row's number or all of them together is compared
            return Plan(
                sql=f"SELECT DISTINCT {name} FROM {self._sheet.source()}{reading.where} ORDER BY {name}",
                subject=f"{self._sheet.said(column)}{reading.said}",
            )
        rows = self._matching(reading)
        if len(rows) != 1 or not rows[0][column]:
            raise Unsure
        return Plan(
            sql=f"SELECT {name} FROM {self._sheet.source()}{reading.where}",
            subject=f"{self._sheet.said(column)}{reading.said}",
            unit=self._sheet.unit(column),
        )

    def _plan(self, reading: Reading, value: str, subject: str, measure: int | None = None) -> Plan:
        unit = "" if measure is None else self._sheet.unit(measure)
        if "which" in reading.asks or "who" in reading.asks:
            raise Unsure
        if reading.is_testable and not self._matching(reading):
            raise Unsure
        if not reading.groups:
            sql = f"SELECT {value} AS value FROM {self._sheet.source()}{reading.where}"
            return Plan(sql=sql, subject=subject + reading.said, unit=unit)
        (group,) = reading.groups
        if group in reading.columns or self._sheet.kind(group) in ("decimal", "double"):
            raise Unsure
        self._sheet.check_present(group)
        name = self._sheet.name(group)
        return Plan(
            sql=f"SELECT {name}, {value} AS value FROM {self._sheet.source()}{reading.where}"
            f" GROUP BY {name} ORDER BY min(rowid)",
            subject=f"{subject} by {self._sheet.said(group)}{reading.said}",
            unit=unit,
        )

    def _label_and_measure(self, reading: Reading) -> tuple[int, int]:
        if len(reading.columns) != 2 or reading.groups:
            raise Unsure
        label, measure = reading.columns
        if self._sheet.kind(label) in NUMBERS or self._sheet.kind(measure) not in NUMBERS:
            raise Unsure
        self._sheet.check_present(label)
        return label, measure

    def _is_unique(self, column: int, reading: Reading) -> bool:
        cells = [row[column] for row in self._matching(reading)]
        return len(set(cells)) == len(cells)

    def _matching(self, reading: Reading) -> list[tuple[str | None, ...]]:
        """The rows that meet the conditions; where one cannot be told here, all that may."""
        return [row for row in self._sheet.table.table.rows if all(test(row) for test in reading.tests)]
