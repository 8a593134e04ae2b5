"""`decisions` and `overload`: how many the edge decides a second, and what it does with twice as many."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.driving import generator, piped, static_upstream
from bench.figures import percentile
from bench.load import Job, Result
from bench.open_load import Offered, OpenJob
from bench.processes import DidNotStart
from bench.progress import bar
from bench.systems import Edge, Running, started
from bench.tables import Bar, counted, described

_LEAST_PER_S = 300.0
_MOST_P99_MS = 100.0
_MOST_OVERLOAD_P99_MS = 150.0
_FACTOR = 2.0
_MOST_CONNECTIONS = 1000
_SEED_OF_THE_OFFER = 1_000_003


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A closed loop of clients whose prompts are all new: every request is read, decided and forwarded."""

    clients: int
    result: Result
    cpu_us: float
    """Of the edge, a request."""

    @property
    def per_s(self) -> float:
        return self.result.sent / self.result.seconds

    @property
    def p99_ms(self) -> float:
        return percentile(self.result.latencies_us, 0.99) / 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Overloaded:
    """What it decided in a closed loop, and what it did when twice that was offered."""

    capacity: Decided
    offered: Offered


def decisions(*, requests: int, clients: int) -> Decided:
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as made,
        static_upstream() as upstream,
        started(Edge(), upstream_port=upstream, folder=Path(made)) as edge,
    ):
        return _decide(edge, requests=requests, clients=clients)


def overload(*, requests: int, clients: int, seconds: float) -> Overloaded:
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as made,
        static_upstream() as upstream,
        started(Edge(), upstream_port=upstream, folder=Path(made)) as edge,
    ):
        capacity = _decide(edge, requests=requests, clients=clients)
        asked = OpenJob(
            job=_job(edge, connections=_MOST_CONNECTIONS, warmup=0, requests=0, seed=_SEED_OF_THE_OFFER),
            rate=_FACTOR * capacity.per_s,
            seconds=seconds,
        )
        return Overloaded(capacity=capacity, offered=_offer(asked))


def _offer(asked: OpenJob) -> Offered:
    with piped("bench.open_load") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(asked) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise DidNotStart("the open loop ended without a result")
        return msgspec.json.decode(line, type=Offered)


def _decide(edge: Running, *, requests: int, clients: int) -> Decided:
    job = _job(edge, connections=clients, warmup=min(1000, requests // 2), requests=requests, seed=1)
    with bar(job.warmup + requests, "req") as shown, generator(job, shown.reached) as driver:
        shown.begin("decisions")
        before_s = edge.child.cpu_s()
        result = driver.run(lambda done: shown.reached(job.warmup + done))
        cpu_s = edge.child.cpu_s() - before_s
    return Decided(clients=clients, result=result, cpu_us=cpu_s / result.sent * 1e6)


def _job(edge: Running, *, connections: int, warmup: int, requests: int, seed: int) -> Job:
    return Job(
        port=edge.port,
        headers=dict(edge.launch.headers),
        model=edge.launch.model,
        questions="short",
        streaming="never",
        connections=connections,
        warmup=warmup,
        requests=requests,
        seed=seed,
    )


def decisions_bars(taken: Decided) -> list[Bar]:
    failed = sum(taken.result.faults.values())
    return [
        Bar(
            promise=f"at least {_LEAST_PER_S:g} decisions a second, {taken.clients} clients",
            measured=f"{taken.per_s:,.0f}",
            is_met=taken.per_s >= _LEAST_PER_S,
        ),
        Bar(
            promise=f"p99 below {_MOST_P99_MS:g} ms",
            measured=f"{taken.p99_ms:.1f} ms",
            is_met=taken.p99_ms < _MOST_P99_MS,
        ),
        Bar(promise="no errors", measured=f"{failed} of {taken.result.sent:,}", is_met=failed == 0),
    ]


def overload_bars(taken: Overloaded) -> list[Bar]:
    offered = taken.offered
    admitted = offered.admitted_us
    p99_ms = percentile(admitted, 0.99) / 1000 if admitted else float("inf")
    badly = sum(offered.others.values())
    return [
        Bar(
            promise=f"at {_FACTOR:g}x capacity the admitted keep p99 below {_MOST_OVERLOAD_P99_MS:g} ms",
            measured=f"{p99_ms:.0f} ms, {len(admitted):,} of {offered.offered:,} admitted",
            is_met=p99_ms < _MOST_OVERLOAD_P99_MS,
        ),
        Bar(
            promise="the rest get 429 or 503 with Retry-After",
            measured=f"{len(offered.refused_us):,} did, {badly:,} did not",
            is_met=badly == 0,
        ),
    ]


def render_decisions(taken: Decided) -> str:
    result = taken.result
    p50_ms = percentile(result.latencies_us, 0.50) / 1000
    lines = [
        f"## decisions: {taken.clients} clients, unique prompts of 16 tokens, each decided and forwarded",
        "",
        f"- {taken.per_s:,.0f} decisions/s, p50 {p50_ms:.1f} ms, p99 {taken.p99_ms:.1f} ms, "
        f"{taken.cpu_us:,.0f} us of the edge's CPU each",
        f"- failed: {counted(result.faults)} of {result.sent:,}",
        *described("fault", result.described),
        "",
        "Bars:",
        *(one.line() for one in decisions_bars(taken)),
    ]
    return "\n".join(lines)


def render_overload(taken: Overloaded) -> str:
    offered = taken.offered
    lines = [
        f"## overload: {offered.rate:,.0f} requests/s offered for {offered.seconds:g} s, twice the "
        f"{taken.capacity.per_s:,.0f}/s of the closed loop; latencies from when each was due",
        "",
        f"- admitted: {_latencies(offered.admitted_us)}",
        f"- refused with Retry-After: {_latencies(offered.refused_us)}",
        *(f"- {count} x {what}" for what, count in sorted(offered.others.items())),
        "",
        "Bars:",
        *(one.line() for one in overload_bars(taken)),
    ]
    return "\n".join(lines)


def _latencies(values_us: list[int]) -> str:
    if not values_us:
        return "0"
    p50_ms, p99_ms = (percentile(values_us, share) / 1000 for share in (0.50, 0.99))
    return f"{len(values_us):,}, p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms"
