"""`python -m bench cost`."""

import argparse

from bench import cost
from bench.reporting import Commands, Report, command, positive
from bench.workloads import WORKLOADS


def add(commands: Commands) -> None:
    parser = command(commands, "cost", "what a ticket costs, with and without Wayside", _run)
    parser.add_argument(
        "--workloads",
        type=_known,
        default=("support", "heavy"),
        metavar="NAME,...",
        help="default: support,heavy",
    )
    parser.add_argument("--tickets", type=positive, default=300, help="a seed (default: %(default)s)")
    parser.add_argument("--seeds", type=positive, default=3, help="how many (default: %(default)s)")


def _run(asked: argparse.Namespace) -> Report:
    seeds = range(1, asked.seeds + 1)
    found = [cost.measure(name, tickets=asked.tickets, seeds=seeds) for name in asked.workloads]
    return Report(
        text="\n\n".join(map(cost.render, found)), figures=found, is_good=all(map(cost.is_clean, found))
    )


def _known(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(WORKLOADS):
        raise argparse.ArgumentTypeError(
            f"there is no workload {sorted(unknown)[0]}; known: {', '.join(sorted(WORKLOADS))}"
        )
    return names
