"""The benchmarks' command line: `python -m bench --help`."""

import argparse
import sys

import msgspec

from bench.commands import COMMANDS
from bench.machine import this_machine
from bench.processes import DidNotStart, end_on_signals
from bench.reporting import STDOUT, CannotRun, Report, Written


def main() -> int:
    asked = _parser().parse_args()
    end_on_signals()
    machine = this_machine()
    is_quiet = asked.json == STDOUT
    if not is_quiet:
        print(machine.line(), flush=True)
    try:
        report: Report = asked.run(asked)
    except (DidNotStart, CannotRun) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if is_quiet:
        print(msgspec.json.encode(report.figures).decode())
        return 0 if report.is_good else 1
    print(f"\n{report.text}")
    if asked.json is not None:
        written = Written(command=asked.command, machine=machine, figures=report.figures, text=report.text)
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
    return 0 if report.is_good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures Wayside here: real processes, loopback sockets, every answer checked.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
