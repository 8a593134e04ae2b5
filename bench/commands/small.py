"""`python -m bench small`: two minutes that fail on a regression; part of `.ci/run`."""

import argparse
from pathlib import Path

import msgspec

from bench import overhead, overhead_report, overhead_rows, results
from bench.reporting import CannotRun, Commands, Report, command

BASELINE = Path(__file__).resolve().parent.parent / "baseline.json"
_TOLERANCE = 0.60
"""Machines of continuous integration share their cores; a ratio must be worse by this in every round."""
_PLAN = overhead.Plan(rounds=3, requests=500, warmup=500, warmup_limit_s=8.0, concurrency=8, limit_s=20.0)


def add(commands: Commands) -> None:
    parser = command(commands, "small", "two minutes of overhead, against the committed baseline", _run)
    parser.add_argument(
        "--baseline", type=Path, default=BASELINE, metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--write-baseline", action="store_true", help="keep these ratios as the baseline")


def _run(asked: argparse.Namespace) -> Report:
    rows = overhead.measure(_PLAN, overhead_rows.entries(("floor",), {}, streams_peers=False))
    measured = msgspec.to_builtins({"rows": rows})
    ratios = results.cpu_ratios(measured["rows"])
    is_good = not overhead_report.ours_failed(rows)
    text = overhead_report.render(_PLAN, rows)
    if asked.write_baseline:
        asked.baseline.write_bytes(msgspec.json.format(msgspec.json.encode(ratios)) + b"\n")
        return Report(text=text, figures=measured, is_good=is_good)
    changes = results.compare(_baseline(asked.baseline), ratios, tolerance=_TOLERANCE)
    return Report(
        text=f"{text}\n\n{results.render_changes(changes, tolerance=_TOLERANCE)}",
        figures=measured,
        is_good=is_good and not any(change.is_regression for change in changes),
    )


def _baseline(path: Path) -> dict[str, list[float]]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, list[float]])
    except (OSError, msgspec.MsgspecError) as error:
        raise CannotRun(f"no baseline in {path}: {error}") from error
