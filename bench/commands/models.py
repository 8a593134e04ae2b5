"""`python -m bench models`."""

import argparse
from pathlib import Path

from bench import progress
from bench.reporting import CannotRun, Commands, Report, command
from bench.tables import Bar, table
from models.bars import Line, measured
from models.dataset import data_directory
from models.reading.bundle import BundleRefused
from models.rows import DataRefused


def add(commands: Commands) -> None:
    parser = command(commands, "models", "what the shipped bundles read rightly, and how fast", _run)
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="of the public collections (default: WAYSIDE_DATA)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="leave out the fit of Banking77 and most Quora pairs"
    )


def _run(asked: argparse.Namespace) -> Report:
    try:
        with progress.bar(1, "parts") as shown:
            lines = list(measured(asked.data or data_directory(), quick=asked.quick, seen=shown.of))
    except (BundleRefused, DataRefused) as error:
        raise CannotRun(str(error)) from error
    except OSError as error:
        raise CannotRun(f"a public collection is missing: {error.filename}") from error
    return Report(text=render(lines), figures=lines, is_good=True)


def render(lines: list[Line]) -> str:
    """All that was measured, then the bars."""
    rows = [(line.what, line.bar, line.measured) for line in lines]
    bars = [
        Bar(promise=f"{line.what} {line.bar}", measured=line.measured, is_met=line.hit)
        for line in lines
        if line.is_promised
    ]
    return "\n\n".join(
        [
            "## models: the shipped bundles on held-out rows",
            table(("figure", "bar", "measured"), rows),
            "\n".join(["Bars:", *(one.line() for one in bars)]),
        ]
    )
