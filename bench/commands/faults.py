"""`python -m bench faults`."""

import argparse

from bench import faults, progress
from bench.reporting import Commands, Report, command


def add(commands: Commands) -> None:
    parser = command(commands, "faults", "what clients see when a provider fails in sixteen ways", _run)
    parser.add_argument("--buffered", action="store_true", help="hold whole answers back at the primary")
    parser.add_argument("--cuts", type=int, default=200, help="answers cut at random (default: %(default)s)")
    parser.add_argument("--no-outage", action="store_true", help="leave out the minute-long outage")
    parser.add_argument("--seed", type=int, default=1, help="of the cuts (default: %(default)s)")


def _run(asked: argparse.Namespace) -> Report:
    with progress.bar(len(faults.FAULTS) + 1 + (not asked.no_outage) + asked.cuts, "fault") as shown:
        report = faults.measure(
            buffered=asked.buffered,
            cuts=asked.cuts,
            outage=not asked.no_outage,
            seed=asked.seed,
            seen=shown.reached,
        )
    return Report(
        text=faults.render(report, buffered=asked.buffered), figures=report, is_good=faults.is_good(report)
    )
