"""`python -m bench cache`."""

import argparse
from pathlib import Path

from bench import cache, cache_plot, cache_report, progress
from bench.reporting import CannotRun, Commands, Report, command
from edge.settings import EdgeSettings
from models.dataset import data_directory
from models.reading.bundle import BundleRefused


def add(commands: Commands) -> None:
    parser = command(commands, "cache", "what the semantic cache serves rightly and wrongly", _run)
    parser.add_argument(
        "--pairs",
        type=Path,
        nargs="+",
        default=[],
        help="files of {a, b, equivalent, category}; with no file at all, the public ones are read",
    )
    parser.add_argument(
        "--conversations",
        type=Path,
        nargs="+",
        default=[],
        help="files of {history_a, a, history_b, b, equivalent, category}",
    )
    parser.add_argument("--threshold", type=float, help="in place of the verifier's own")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the trade-off there")


def _run(asked: argparse.Namespace) -> Report:
    pairs, conversations = asked.pairs, asked.conversations
    if not pairs and not conversations:
        public = data_directory() / "cache_traps"
        pairs, conversations = [public / "pairs.jsonl"], [public / "conversations.jsonl"]
    files = [(path, cache.read_pairs) for path in pairs]
    files += [(path, cache.read_conversations) for path in conversations]
    reports = {}
    try:
        reader = cache.Reader(EdgeSettings())
        for path, read in files:
            rows = read(path)
            with progress.bar(len(rows), "pairs") as shown:
                reports[path.stem] = cache.measure(
                    rows, reader, threshold=asked.threshold, seen=shown.reached
                )
    except (BundleRefused, cache.FileRefused) as error:
        raise CannotRun(str(error)) from error
    if asked.plot is not None:
        cache_plot.draw(reports, asked.plot)
    figures = {name: found.flat() for name, found in reports.items()}
    text = "\n\n".join(cache_report.render(name, found) for name, found in reports.items())
    return Report(
        text=text, figures=next(iter(figures.values())) if len(figures) == 1 else figures, is_good=True
    )
