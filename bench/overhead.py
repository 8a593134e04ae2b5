"""`overhead`: what forwarding one request costs, ours and the peers' side by side in one run."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.driving import generator, static_upstream
from bench.figures import percentile
from bench.load import Described, Job
from bench.overhead_rows import Entry, Mode
from bench.processes import DidNotStart
from bench.progress import Bar, bar, unseen
from bench.questions import questions
from bench.stock import READ, stock
from bench.systems import MODEL, TENANT, Running, asked_once, started
from bench.truth import route_of

_STORED_WITHIN_S = 1.0
_PROBES = 20
_LEAST_SERVED = 0.9
_LEAST_ALONE = 300
"""Of which the three slowest are the p99's matter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How much is sent. Every system gets the same."""

    rounds: int = 3
    requests: int = 3000
    warmup: int = 5000
    """Compilers at run time need thousands: Portkey after 600 requests is far from what it costs later."""
    warmup_limit_s: float = 15.0
    concurrency: int = 16
    limit_s: float = 60.0
    """The longest measured window; a slow system is measured on the requests it managed by then."""

    @property
    def alone(self) -> int:
        """Requests with one in flight."""
        return max(_LEAST_ALONE, self.requests // 10)

    @property
    def size(self) -> int:
        return self.warmup + self.requests + self.alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One system in one round."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    alone_p50_ms: float
    alone_p99_ms: float
    requests_per_s: float
    rss_bytes: int
    generator_share: float
    """Of one core; near 1 the rate is the generator's limit, not the system's."""
    sent: int
    faults: dict[str, int]
    described: list[Described]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One system in all rounds; without rounds, the reason why it could not be run."""

    name: str
    mode: Mode
    is_ours: bool
    version: str
    rounds: tuple[Measured, ...]
    reason: str | None = None
    floor: str = "floor"


def measure(plan: Plan, listed: Sequence[Entry]) -> list[Row]:
    """Every entry in every round; who comes first changes from round to round."""
    versions, reasons = _prepare(listed)
    taken: dict[str, list[Measured]] = {entry.name: [] for entry in listed}
    with (
        _stocked({entry.fill for entry in listed if entry.fill}) as stocks,
        bar(plan.rounds * len(listed) * plan.size, "req") as shown,
        static_upstream() as upstream_port,
    ):
        for number in range(plan.rounds):
            start = number * len(listed) // plan.rounds
            for entry in (*listed[start:], *listed[:start]):
                if entry.name not in reasons:
                    try:
                        taken[entry.name].append(_once(plan, entry, upstream_port, stocks, shown, number))
                    except DidNotStart as error:
                        reasons[entry.name] = str(error)
                shown.end(plan.size)
    return [
        Row(
            name=entry.name,
            mode=entry.mode,
            is_ours=entry.is_ours,
            version=versions.get(entry.system.name, ""),
            rounds=tuple(taken[entry.name]),
            reason=reasons.get(entry.name),
            floor=entry.floor,
        )
        for entry in listed
    ]


def _prepare(listed: Sequence[Entry]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions by system, and by entry the reason why it cannot be installed."""
    versions: dict[str, str] = {}
    reasons: dict[str, str] = {}
    systems = {entry.system.name: entry.system for entry in listed}
    with bar(len(systems), "env") as shown:
        for name, system in systems.items():
            shown.begin(f"preparing {name}")
            try:
                versions[name] = system.prepare()
            except DidNotStart as error:
                reasons.update({entry.name: str(error) for entry in listed if entry.system.name == name})
            shown.end(1)
    return versions, reasons


@contextmanager
def _stocked(counts: set[int]) -> Iterator[Mapping[int, Path]]:
    """For each count a folder with a semantic cache that holds so many entries; each start gets a copy."""
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        folders = {count: Path(folder) / str(count) for count in sorted(counts)}
        if folders:
            with bar(min(max(folders), READ), "texts") as shown:
                shown.begin("filling the semantic caches")
                stock(folders, tenant=TENANT, model=MODEL, seen=shown.reached)
        yield folders


def _once(
    plan: Plan, entry: Entry, upstream_port: int, stocks: Mapping[int, Path], shown: Bar, number: int
) -> Measured:
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        shown.begin(f"round {number + 1}/{plan.rounds} {entry.name}")
        if entry.fill:
            shutil.copytree(stocks[entry.fill], Path(folder) / "semantic")
        with started(entry.system, upstream_port=upstream_port, folder=Path(folder)) as system:
            _make_ready(entry, system)
            return _load(plan, entry, system, shown)


def _make_ready(entry: Entry, system: Running) -> None:
    """Have the popular answer stored, and see where answers come from. Raises DidNotStart."""
    if entry.served is None:
        return
    model = system.launch.model
    asked_once(system, next(questions("same", model=model, streaming="never", seed=0)))
    time.sleep(_STORED_WITHIN_S)  # stored behind the answer
    asks = islice(questions(entry.questions, model=model, streaming="never", seed=-_PROBES), _PROBES)
    served = Counter(route_of(asked_once(system, ask)) for ask in asks)
    if served[entry.served] < _LEAST_SERVED * _PROBES:
        raise DidNotStart(
            f"it should answer as {entry.served}, and of {_PROBES} requests it did {dict(served)}"
        )


def _load(plan: Plan, entry: Entry, system: Running, shown: Bar) -> Measured:
    def job(*, connections: int, warmup: int, requests: int, seed: int = 0) -> Job:
        return Job(
            port=system.port,
            headers=dict(system.launch.headers),
            model=system.launch.model,
            questions=entry.questions,
            streaming="always" if entry.mode == "SSE" else "never",
            connections=connections,
            warmup=warmup,
            requests=requests,
            limit_s=plan.limit_s,
            warmup_limit_s=plan.warmup_limit_s,
            seed=seed,
            served=entry.served,
        )

    many = job(connections=plan.concurrency, warmup=plan.warmup, requests=plan.requests)
    with generator(many, shown.reached) as many_driver:
        before_s = system.child.cpu_s()
        crowd = many_driver.run(lambda done: shown.reached(plan.warmup + done))
        cpu_s = system.child.cpu_s() - before_s
    rss_bytes = system.child.rss_bytes()
    with generator(
        job(connections=1, warmup=20, requests=plan.alone, seed=plan.warmup + plan.requests), unseen
    ) as alone_driver:
        alone = alone_driver.run(lambda done: shown.reached(plan.warmup + plan.requests + done))
    # A fault in the warm-up is a fault: it must not vanish because nobody was measuring yet.
    phases = (many_driver.warmup, crowd, alone_driver.warmup, alone)
    return Measured(
        cpu_us=cpu_s / crowd.sent * 1e6,
        p50_ms=percentile(crowd.latencies_us, 0.50) / 1000,
        p99_ms=percentile(crowd.latencies_us, 0.99) / 1000,
        alone_p50_ms=percentile(alone.latencies_us, 0.50) / 1000,
        alone_p99_ms=percentile(alone.latencies_us, 0.99) / 1000,
        requests_per_s=crowd.sent / crowd.seconds,
        rss_bytes=rss_bytes,
        generator_share=crowd.generator_cpu_s / crowd.seconds,
        sent=sum(phase.sent for phase in phases),
        faults=dict(sum((Counter(phase.faults) for phase in phases), Counter[str]())),
        described=[fault for phase in phases for fault in phase.described],
    )
