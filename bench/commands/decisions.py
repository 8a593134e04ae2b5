"""`python -m bench decisions`."""

import argparse

from bench import decisions
from bench.reporting import Commands, Report, command, positive


def add(commands: Commands) -> None:
    parser = command(commands, "decisions", "decisions a second on prompts nobody asked before", _run)
    parser.add_argument("--requests", type=positive, default=6000, help="default: %(default)s")
    parser.add_argument("--clients", type=positive, default=32, help="default: %(default)s")


def _run(asked: argparse.Namespace) -> Report:
    taken = decisions.decisions(requests=asked.requests, clients=asked.clients)
    return Report(text=decisions.render_decisions(taken), figures=taken, is_good=not taken.result.faults)
