"""`python -m bench soak`."""

import argparse

from bench import soak
from bench.reporting import Commands, Report, add_load, command


def add(commands: Commands) -> None:
    parser = command(commands, "soak", "answers lost or cut on their way through edge and cloud", _run)
    add_load(parser, requests=10_000, unit="all")
    parser.add_argument("--seed", type=int, default=1, help="of the texts (default: %(default)s)")
    parser.add_argument(
        "--limit-s", type=float, default=600.0, help="longest run, seconds (default: %(default)g)"
    )


def _run(asked: argparse.Namespace) -> Report:
    soaked = soak.soak(
        requests=asked.requests, concurrency=asked.concurrency, seed=asked.seed, limit_s=asked.limit_s
    )
    return Report(text=soak.render(soaked), figures=soaked, is_good=soak.is_clean(soaked))
