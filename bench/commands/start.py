"""`python -m bench start`."""

import argparse

from bench import start
from bench.reporting import Commands, Report, add_load, command, positive


def add(commands: Commands) -> None:
    parser = command(commands, "start", "time to the edge's first answer, import time, memory", _run)
    add_load(parser, requests=10_000, unit="before memory is read again")
    parser.add_argument("--runs", type=positive, default=7, help="cold starts (default: %(default)s)")


def _run(asked: argparse.Namespace) -> Report:
    taken = start.measure(runs=asked.runs, requests=asked.requests, concurrency=asked.concurrency)
    return Report(text=start.render(taken), figures=taken, is_good=not taken.faults)
