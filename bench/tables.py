"""Text of the reports: Markdown tables, faults, bars that are met or missed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.load import Described


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A promise and what was measured."""

    promise: str
    measured: str
    is_met: bool

    def line(self) -> str:
        return f"- {'met   ' if self.is_met else 'MISSED'}  {self.promise}: {self.measured}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that it reads well in a terminal too."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    return "\n".join(
        [line(header), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)]
    )


def counted(faults: Mapping[str, int]) -> str:
    """`0`, or the number of faulty answers and what they were."""
    total = sum(faults.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()) if count)
    return f"{total} ({kinds})" if total else "0"


def described(name: str, faults: Sequence[Described]) -> list[str]:
    return [f"- {name}: {fault.count} x {fault.kind}: {fault.detail}" for fault in faults]


def megabytes(count: float) -> float:
    return count / 1_000_000
