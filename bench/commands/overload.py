"""`python -m bench overload`."""

import argparse

from bench import decisions
from bench.reporting import Commands, Report, command, positive


def add(commands: Commands) -> None:
    parser = command(commands, "overload", "what becomes of twice as many requests as it can decide", _run)
    parser.add_argument(
        "--requests", type=positive, default=3000, help="to find the capacity (default: %(default)s)"
    )
    parser.add_argument("--clients", type=positive, default=32, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=15.0, help="of overload (default: %(default)g)")


def _run(asked: argparse.Namespace) -> Report:
    taken = decisions.overload(requests=asked.requests, clients=asked.clients, seconds=asked.seconds)
    return Report(text=decisions.render_overload(taken), figures=taken, is_good=not taken.offered.others)
