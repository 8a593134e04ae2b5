"""`python -m bench memories`."""

import argparse
import tempfile
from pathlib import Path

from bench import databases, memories, progress
from bench.reporting import Commands, Report, command


def add(commands: Commands) -> None:
    parser = command(commands, "memories", "writing and searching long-term memory at its full size", _run)
    parser.add_argument("--count", type=int, default=100_000, help="memories of the one tenant (100000)")
    parser.add_argument("--searches", type=int, default=300, help="questions, each after a write (300)")
    parser.add_argument(
        "--database-url", help="an empty database; else SQLite, and PostgreSQL where it is installed"
    )


def _run(asked: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        stores = [None] if asked.database_url else databases.stores_here()
        reports = []
        for store in stores:
            with progress.bar(asked.count + asked.searches, "memories") as shown:
                if store is None:
                    reports.append(_measured(asked.database_url, asked, shown))
                    continue
                with databases.empty_database(store, Path(folder)) as url:
                    reports.append(_measured(url, asked, shown))
    return Report(
        text=memories.render(reports),
        figures={report.store: report for report in reports},
        is_good=all(report.is_good for report in reports),
    )


def _measured(url: str, asked: argparse.Namespace, shown: progress.Bar) -> memories.Scale:
    return memories.measure(url, count=asked.count, searches=asked.searches, shown=shown)
