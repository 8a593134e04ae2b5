"""`python -m bench compare OLD NEW`."""

import argparse
from pathlib import Path

from bench import results
from bench.reporting import CannotRun, Commands, Report, command


def add(commands: Commands) -> None:
    parser = command(commands, "compare", "regressions between two results of one command", _run)
    parser.add_argument("old", type=Path, metavar="OLD.json")
    parser.add_argument("new", type=Path, metavar="NEW.json")
    parser.add_argument(
        "--tolerance", type=float, default=0.05, help="share that is not called one (default: %(default)g)"
    )


def _run(asked: argparse.Namespace) -> Report:
    old, new = results.read(asked.old), results.read(asked.new)
    changes = results.compare(results.ratios_of(old), results.ratios_of(new), tolerance=asked.tolerance)
    if not changes:
        raise CannotRun("the files have no ratio in common; overhead, small and cost have some")
    text = "\n\n".join(
        [
            f"## compare: commit {old.machine.commit} and {new.machine.commit}",
            results.render_changes(changes, tolerance=asked.tolerance),
        ]
    )
    regressed = [change.name for change in changes if change.is_regression]
    return Report(text=text, figures={"regressions": regressed}, is_good=not regressed)
