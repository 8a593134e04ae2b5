"""`python -m bench memory`."""

import argparse
from pathlib import Path

from bench import memory, progress
from bench.reporting import CannotRun, Commands, Report, command
from models.dataset import data_directory
from models.reading.bundle import BundleRefused


def add(commands: Commands) -> None:
    parser = command(commands, "memory", "what long-term memory finds of what answers a question", _run)
    parser.add_argument(
        "--locomo",
        type=Path,
        default=data_directory() / "locomo" / "locomo_dev.json.gz",
        help="a file of LoCoMo's shape, .json or .json.gz (default: %(default)s)",
    )
    parser.add_argument("--no-embedder", action="store_true", help="with words alone")


def _run(asked: argparse.Namespace) -> Report:
    try:
        conversations = memory.read_locomo(asked.locomo)
        embed, count = memory.open_embedder()
    except (memory.FileRefused, BundleRefused) as error:
        raise CannotRun(str(error)) from error
    questions = sum(len(one.questions) for one in conversations)
    with progress.bar(questions, "questions") as shown:
        report = memory.measure(
            conversations,
            embed=None if asked.no_embedder else embed,
            count=count,
            digest=memory.digest_of(asked.locomo),
            seen=shown.reached,
        )
    return Report(text=memory.render(asked.locomo.name, report), figures=report, is_good=True)
