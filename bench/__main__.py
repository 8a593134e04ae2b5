"""The benchmarks' command line: `python -m bench --help`."""

import argparse
import sys
from pathlib import Path

import msgspec

from bench.commands import COMMANDS
from bench.machine import Machine, this_machine
from bench.processes import DidNotStart, end_on_signals
from bench.reporting import STDOUT, CannotRun, Report, Written


def main() -> int:
    asked = _parser().parse_args()
    end_on_signals()
    machine = this_machine()
    is_quiet = asked.json == STDOUT
    if not is_quiet:
        print(machine.line(), flush=True)
    file = None if asked.json in (None, STDOUT) else asked.json
    try:
        report: Report = asked.run(asked)
    except (DidNotStart, CannotRun) as error:
        print(f"bench: {error}", file=sys.stderr)
        _write(file, _failed(asked.command, machine, str(error)))
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # What breaks must be seen on the page as well, not only in what scrolled by.
        _write(file, _failed(asked.command, machine, f"it broke: {error!r}"))
        raise
    if is_quiet:
        print(msgspec.json.encode(report.figures).decode())
        return 0 if report.is_good else 1
    print(f"\n{report.text}")
    _write(file, Written(command=asked.command, machine=machine, figures=report.figures, text=report.text))
    return 0 if report.is_good else 1


def _failed(command: str, machine: Machine, why: str) -> Written:
    text = f"## {command}: FAILED\n\nThere are no figures: {why}"
    return Written(command=command, machine=machine, figures=None, text=text, failed=why)


def _write(file: Path | None, written: Written) -> None:
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")


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
