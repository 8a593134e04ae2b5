"""`python -m bench error_budget`."""

import argparse

from bench import error_budget, progress
from bench.reporting import CannotRun, Commands, Report, command


def add(commands: Commands) -> None:
    parser = command(commands, "error_budget", "whether the error budget holds on streams of questions", _run)
    parser.add_argument("--streams", type=int, default=200, help="seeded streams a budget (default: 200)")
    parser.add_argument("--length", type=int, default=3000, help="requests a stream (default: 3000)")
    parser.add_argument("--questions", type=int, default=4000, help="to draw from (default: 4000)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[0.01, 0.02], help="budgets (default: 0.01 0.02)"
    )


def _run(asked: argparse.Namespace) -> Report:
    try:
        with progress.bar(asked.streams * len(asked.rates), "streams") as shown:
            figures = error_budget.measure(
                streams=asked.streams,
                length=asked.length,
                most=asked.questions,
                rates=tuple(asked.rates),
                seen=shown.reached,
            )
    except FileNotFoundError as error:
        raise CannotRun(f"the Quora pairs are not there: {error}") from error
    own = [one for name, one in figures.items() if name.startswith("wayside")]
    is_good = all(one["streams_over_budget"] <= 0.05 for one in own)
    return Report(text=error_budget.render(figures), figures=figures, is_good=is_good)
