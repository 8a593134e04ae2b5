"""`python -m bench models`."""

import argparse
from pathlib import Path

from bench import progress
from bench.reporting import CannotRun, Commands, Report, command
from bench.tables import Bar, table
from models import bars
from models.dataset import data_directory
from models.reading.bundle import BundleRefused
from models.rows import DataRefused


def add(commands: Commands) -> None:
    parser = command(commands, "models", "what the shipped bundles read rightly, and how fast", _run)
    parser.add_argument(
        "--data",
        type=Path,
        default=data_directory(),
        metavar="FOLDER",
        help="of the public collections (default: %(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="leave out the fit of Banking77 and most Quora pairs"
    )


def _run(asked: argparse.Namespace) -> Report:
    try:
        parts = bars.parts(asked.data, quick=asked.quick)
        lines: list[bars.Line] = []
        with progress.bar(len(parts), "parts") as shown:
            for part in parts:
                lines += part()
                shown.end(1)
    except (BundleRefused, DataRefused) as error:
        raise CannotRun(str(error)) from error
    except OSError as error:
        raise CannotRun(f"a public collection is missing: {error.filename}") from error
    return Report(text=render(lines), figures=lines, is_good=True)


def render(lines: list[bars.Line]) -> str:
    """All that was measured, then the bars."""
    rows = [(line.what, line.bar, line.measured) for line in lines]
    promised = [
        Bar(promise=f"{line.what} {line.bar}", measured=line.measured, is_met=line.hit)
        for line in lines
        if line.is_promised
    ]
    return "\n\n".join(
        [
            "## models: the shipped bundles on held-out rows",
            table(("figure", "bar", "measured"), rows),
            "\n".join(["Bars:", *(one.line() for one in promised)]),
        ]
    )
