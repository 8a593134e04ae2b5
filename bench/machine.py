"""The machine line on top of every report."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Where and when the figures were taken."""

    cpu: str
    cores: int
    python: str
    kernel: str
    date: str
    """UTC, ISO 8601."""
    commit: str
    load_1_min: float
    """Others' work before the run: above 0.3 or so, take latencies and rates with salt."""

    def line(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores; Python {self.python}; Linux {self.kernel}; {self.date}; "
            f"commit {self.commit}; load before the run {self.load_1_min:.2f}"
        )


def this_machine() -> Machine:
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        kernel=platform.release().partition("-")[0],
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        load_1_min=os.getloadavg()[0],
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> str:
    """The commit of the code that was measured, marked when the working tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
