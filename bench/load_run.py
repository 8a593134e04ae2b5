"""`load`: Locust, a process of its own, drives the real edge in front of the real cloud."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench import samples
from bench.driving import ROOT
from bench.processes import DidNotStart, base_environment
from bench.progress import Bar, bar
from bench.samples import RouteFigures, Sample, Samples
from bench.stack import Script, stack
from bench.systems import Running
from bench.tables import counted, table
from bench.workload import Workload
from bench.workloads import WORKLOADS

KEY_VARIABLE = "WAYSIDE_API_KEY"
_POLL_S = 0.5
_OVERTIME_S = 90.0
_KNEE = 2.0
"""A rate is past the knee when its p99 is this many times the least rate's, or requests fail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    workload: str = "support"
    arrivals: Literal["open", "closed"] = "open"
    rates: tuple[float, ...] = (5.0,)
    """Tickets a second (users, of a closed loop); several make the throughput-latency curve."""
    seconds: float = 20.0
    seed: int = 1
    first_token_ms: float = 300.0
    tokens_per_s: float = 80.0
    edge_settings: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One rate."""

    rate: float
    sent: int
    unsent: int
    requests_per_s: float
    routes: list[RouteFigures]
    faults: dict[str, int]
    details: list[str]
    late_p99_ms: float
    """The generator's own delay; where it is large, the generator was the limit."""
    samples: list[Sample]


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    plan: Plan
    steps: list[Step]
    knee: float | None
    """The highest rate before p99 doubles or a request fails; None when the first is past it."""


def measure(plan: Plan) -> Loaded:
    """Every rate in turn, each against services that were just started."""
    workload = WORKLOADS[plan.workload]
    next(workload.tickets(plan.seed))  # what it needs is there, or says now that it is not
    with bar(round(plan.seconds * len(plan.rates)), "s") as shown:
        steps = [_step(plan, workload, rate, shown) for rate in plan.rates]
    return Loaded(plan=plan, steps=steps, knee=knee(steps))


def _step(plan: Plan, workload: Workload, rate: float, shown: Bar) -> Step:
    script = Script(reply=workload.reply, first_token_ms=plan.first_token_ms, tokens_per_s=plan.tokens_per_s)
    shown.begin(f"{workload.name} at {rate:g}")
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as made,
        stack(Path(made), script, edge_settings=plan.edge_settings, knowledge=workload) as services,
    ):
        found = drive(plan, services.edge, rate, Path(made), shown)
    shown.end(round(plan.seconds))
    return step_of(found)


def step_of(found: Samples) -> Step:
    if not found.samples:
        raise DidNotStart("the load generator sent nothing")
    return Step(
        rate=found.rate,
        sent=len(found.samples),
        unsent=found.unsent,
        requests_per_s=len(found.samples) / found.seconds,
        routes=samples.by_route(found.samples),
        faults=samples.faults(found.samples) | ({"lost": found.unsent} if found.unsent else {}),
        details=samples.details(found.samples),
        late_p99_ms=samples.latency([one.late_ms for one in found.samples]).p99,
        samples=found.samples,
    )


def drive(plan: Plan, edge: Running, rate: float, folder: Path, shown: Bar) -> Samples:
    """Locust without its page; it patches sockets and threads, so it has an interpreter of its own."""
    results = folder / "samples.json"
    users = 1 if plan.arrivals == "open" else max(1, round(rate))
    command = [
        *(sys.executable, "-m", "locust", "-f", str(ROOT / "bench" / "locustfile.py"), "--headless"),
        *("--users", str(users), "--spawn-rate", str(users), "--run-time", f"{plan.seconds:g}s"),
        *("--only-summary", "--exit-code-on-error", "0", "--port", str(edge.port), "--seed", str(plan.seed)),
        *("--model", "scripted", "--workload", plan.workload, "--arrivals", plan.arrivals),
        *("--rate", f"{rate:g}", "--results", str(results)),
    ]
    key = edge.launch.headers["authorization"].removeprefix("Bearer ")
    environment = {**base_environment(), KEY_VARIABLE: key, "PYTHONPATH": str(ROOT)}
    log = folder / "locust.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  # our own module
            command, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, start_new_session=True
        )
        try:
            _wait(process, plan.seconds, shown)
        finally:
            process.kill()
            process.wait()
    if not results.exists():
        raise DidNotStart(f"Locust wrote no results: {log.read_text('utf-8', 'replace')[-600:]}")
    return samples.read(results)


def _wait(process: "subprocess.Popen[bytes]", seconds: float, shown: Bar) -> None:
    began = time.monotonic()
    while process.poll() is None:
        elapsed = time.monotonic() - began
        if elapsed > seconds + _OVERTIME_S:
            raise DidNotStart("Locust did not end")
        shown.reached(min(round(seconds), int(elapsed)))
        time.sleep(_POLL_S)


def knee(steps: Sequence[Step]) -> float | None:
    """The highest rate before latency takes off or requests fail; None when the first is past it."""
    best: float | None = None
    ordered = sorted(steps, key=lambda step: step.rate)
    for step in ordered:
        fast = ordered[0].routes[0].last.p99 if ordered[0].routes else 0.0
        if step.faults or not step.routes or step.routes[0].last.p99 > _KNEE * fast:
            break
        best = step.rate
    return best


def render(loaded: Loaded) -> str:
    plan = loaded.plan
    unit = "tickets/s, open loop" if plan.arrivals == "open" else "users, closed loop"
    parts = [
        f"## load: {plan.workload}, seed {plan.seed}, {plan.seconds:g} s a rate, provider "
        f"{plan.first_token_ms:g} ms to the first token and {plan.tokens_per_s:g} tokens/s; every latency "
        "from when the request was due"
    ]
    for step in loaded.steps:
        parts.append(
            f"### {step.rate:g} {unit}: {step.requests_per_s:.1f} requests/s, {step.sent} sent, "
            f"failed {counted(step.faults)}, generator late p99 {step.late_p99_ms:.1f} ms"
        )
        parts.append(table(_HEADER, [_cells(one) for one in step.routes]))
        if step.details:
            parts.append("\n".join(step.details))
    if len(loaded.steps) > 1:
        parts.append(
            f"Knee: {f'{loaded.knee:g} {unit}' if loaded.knee is not None else 'below the lowest rate'}"
        )
    return "\n\n".join(parts)


def is_clean(loaded: Loaded) -> bool:
    """At the lowest rate everything was answered, and rightly; higher ones are there to find the limit."""
    return not min(loaded.steps, key=lambda step: step.rate).faults


_HEADER = (
    "route",
    "requests",
    "share",
    "first p50 ms",
    "first p99",
    "last p50",
    "last p99",
    "edge p50 ms",
    "edge p99",
)


def _cells(one: RouteFigures) -> tuple[str, ...]:
    pairs = ((one.first.p50, one.first.p99), (one.last.p50, one.last.p99), (one.edge.p50, one.edge.p99))
    return (
        one.route,
        f"{one.count:,}",
        f"{one.share:.1%}",
        *(f"{value:.1f}" for low, high in pairs for value in (low, high)),
    )
