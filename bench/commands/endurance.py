"""`python -m bench endurance`."""

import argparse

from bench import endurance
from bench.reporting import Commands, Report, add_load, command


def add(commands: Commands) -> None:
    parser = command(commands, "endurance", "memory after very many requests and a dead upstream", _run)
    add_load(parser, requests=100_000, unit="all")


def _run(asked: argparse.Namespace) -> Report:
    endured = endurance.measure(requests=asked.requests, concurrency=asked.concurrency)
    return Report(text=endurance.render(endured), figures=endured, is_good=not endured.faults)
