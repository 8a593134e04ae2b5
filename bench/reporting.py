"""The one shape of what a benchmark found, and the options that several of them share."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine import Machine

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    """What a command's `add` is given; at run time argparse's class takes no parameter."""
else:
    Commands = argparse._SubParsersAction


STDOUT = Path("-")
"""As `--json`: the figures alone, on standard output."""


class CannotRun(Exception):
    """What was asked for cannot be measured; the message says why, for the person who asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a command found: text for people, figures for programs."""

    text: str
    figures: object
    is_good: bool
    """Decides the exit status: 0, or 1 when something of ours failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """The shape of every `--json` file."""

    command: str
    machine: Machine
    figures: object
    text: str = ""
    """The report for people, Markdown."""
    failed: str = ""
    """Why there are no figures, where there are none."""


def command(
    commands: Commands,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], Report],
) -> argparse.ArgumentParser:
    """A new subcommand with the options that all have."""
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=STDOUT,
        help="write the figures there as well; without a FILE, or with -, print them and nothing else",
    )
    return parser


def add_load(parser: argparse.ArgumentParser, *, requests: int, unit: str) -> None:
    """How much is sent, for commands that drive a closed loop."""
    parser.add_argument("--requests", type=positive, default=requests, help=f"{unit} (default: %(default)s)")
    parser.add_argument(
        "--concurrency", type=positive, default=16, help="requests in flight (default: %(default)s)"
    )


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def setting(text: str) -> tuple[str, str]:
    """A service's setting: NAME=VALUE."""
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("write it as NAME=VALUE")
    return name, value
