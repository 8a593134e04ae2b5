"""`python -m bench runs`."""

import argparse

from bench.reporting import Commands, Report, command, positive


def add(commands: Commands) -> None:
    parser = command(commands, "runs", "durable runs under kill -9, on both databases", _run)
    parser.add_argument(
        "--payments", type=positive, default=3, help="tool calls of the killed run (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=int, default=200, help="on four processes; 0 for none (default: %(default)s)"
    )


def _run(asked: argparse.Namespace) -> Report:
    from bench import runs  # with the databases it stands on: other subcommands need not wait for them

    return runs.run(asked)
