"""Reads what `--json` wrote, and finds in it the ratios that one run can be compared by with another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.machine import Machine
from bench.reporting import CannotRun
from bench.tables import table


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One `--json` file."""

    command: str
    machine: Machine
    figures: Any
    text: str = ""
    failed: str = ""
    """Why there are no figures, where there are none."""


Ratios = Mapping[str, Sequence[float]]
"""By name, a value a round or seed; more is worse. Both sides of each were measured in the same round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One ratio, before and after."""

    name: str
    old: Sequence[float]
    new: Sequence[float]
    tolerance: float

    @property
    def is_regression(self) -> bool:
        """Even the best new round is worse than the worst old one, by more than the tolerance.

        Noise that hits a round, or the whole of one run's machine, does not do that to a ratio.
        """
        return min(self.new) > max(self.old) * (1 + self.tolerance)

    @property
    def by(self) -> float:
        """Relative change of the medians."""
        return median(self.new) / median(self.old) - 1 if median(self.old) else 0.0


def read(path: Path) -> Result:
    """Raises CannotRun."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise CannotRun(f"cannot read {path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise CannotRun(f"{path} is no result of a benchmark: {error}") from error


def ratios_of(result: Result) -> dict[str, list[float]]:
    """What can be compared across machines; empty for commands that measure against nothing."""
    if result.failed:
        return {}
    match result.command:
        case "overhead" | "small":
            return cpu_ratios(result.figures["rows"])
        case "cost":
            return _cost_ratios(result.figures)
        case _:
            return {}


def cpu_ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Our rows' CPU against the floor's, round by round."""
    floors = {row["name"]: row["rounds"] for row in rows}
    found = {}
    for row in rows:
        floor = floors.get(f"{row['floor']} ({row['mode']})", [])
        if row["is_ours"] and floor and len(floor) == len(row["rounds"]):
            pairs = zip(row["rounds"], floor, strict=True)
            found[f"CPU of {row['name']} to floor"] = [own["cpu_us"] / base["cpu_us"] for own, base in pairs]
    return found


def _cost_ratios(costs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    found = {}
    for cost in costs:
        usd = {(run["arm"], run["seed"]): run["usd_per_ticket"] for run in cost["runs"]}
        found[f"cost of {cost['workload']} to one strong model"] = [
            usd["wayside", seed] / usd["strong", seed] for seed in cost["seeds"]
        ]
    return found


def compare(old: Ratios, new: Ratios, *, tolerance: float) -> list[Change]:
    """What both have, in the order of the new one."""
    return [
        Change(name=name, old=old[name], new=values, tolerance=tolerance)
        for name, values in new.items()
        if name in old
    ]


def render_changes(changes: Sequence[Change], *, tolerance: float) -> str:
    def cells(change: Change) -> tuple[str, ...]:
        verdict = "REGRESSION" if change.is_regression else "ok"
        return (change.name, _spread(change.old), _spread(change.new), f"{change.by:+.1%}", verdict)

    rows = [cells(change) for change in changes]
    return "\n\n".join(
        [
            table(("ratio", "old", "new", "change", "verdict"), rows),
            "Median (least-most) of the rounds; each ratio against the floor, or the strong model, of its "
            "own round. A regression is when the best new round is worse than the worst old one by more than "
            f"{tolerance:.0%}.",
        ]
    )


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
