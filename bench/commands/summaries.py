"""`python -m bench summaries`."""

import argparse
from pathlib import Path

from bench.reporting import CannotRun, Commands, Report, command
from models.dataset import data_directory


def add(commands: Commands) -> None:
    parser = command(commands, "summaries", "ROUGE of the sentences a summary is made of", _run)
    parser.add_argument(
        "--data",
        type=Path,
        default=data_directory() / "dialogsum" / "dialogsum.dev.jsonl.gz",
        help="a file of DialogSum's shape, .jsonl or .jsonl.gz (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the halves (default: %(default)s)")


def _run(asked: argparse.Namespace) -> Report:
    from bench import summaries  # with the scorer it stands on: other subcommands need not have it
    from cloud.memory.extractor import read_extractor

    try:
        measured = summaries.measure(asked.data, read_extractor(), seed=asked.seed)
    except summaries.FileRefused as error:
        raise CannotRun(str(error)) from error
    return Report(
        text=summaries.render(asked.data.name, measured),
        figures=measured,
        is_good=all(bar.is_met for bar in summaries.bars(measured)),
    )
