"""`overhead`: what forwarding one request costs, ours and the peers' side by side in one run."""

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from bench.driving import generator, static_upstream
from bench.figures import percentile
from bench.load import Described, Job
from bench.peers import peers
from bench.processes import DidNotStart
from bench.progress import Bar, bar, unseen
from bench.questions import POPULAR, STATIC_REPLY, Questions, questions
from bench.systems import FORWARDING_ALONE, Edge, Floor, Running, System, asked_once, started
from bench.truth import Route, route_of

Mode = Literal["JSON", "SSE"]

_CANNED = "canned floor"
_FILL_LIMIT_S = 1800.0
_STORED_WITHIN_S = 1.0
_PROBES = 20
_LEAST_SERVED = 0.9

PEERS = ("floor", *(peer.name for peer in peers()))


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
        return max(50, self.requests // 10)

    @property
    def size(self) -> int:
        return self.warmup + self.requests + self.alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One row of the table."""

    system: System
    mode: Mode
    is_ours: bool
    questions: Questions = "fixed"
    floor: str = "floor"
    """The row it is compared with."""
    served: Route | None = None
    """Where its answers must come from; checked before the window, so that no row is named what it is not."""
    fill: int = 0
    """Other questions that are asked and stored first."""

    @property
    def name(self) -> str:
        return f"{self.system.name} ({self.mode})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One system in one round."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    alone_p50_ms: float
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


def entries(
    names: Sequence[str],
    edge_settings: dict[str, str],
    *,
    streams_peers: bool,
    semantic_entries: Sequence[int] = (),
) -> list[Entry]:
    """Ours in both modes, then the systems asked for; the floor in both, since each mode needs its own."""
    edge = Edge(settings=FORWARDING_ALONE | edge_settings)
    deciding = Edge(settings=edge_settings, name="wayside edge, deciding")
    found = [
        Entry(system=edge, mode="JSON", is_ours=True),
        Entry(system=edge, mode="SSE", is_ours=True),
        Entry(system=deciding, mode="JSON", is_ours=True),
        *_hits(edge_settings, semantic_entries),
    ]
    if "floor" in names:
        found.append(Entry(system=Floor(is_canned=True), mode="JSON", is_ours=False, floor=_CANNED))
    others: tuple[System, ...] = (Floor(), *peers())
    for system in others:
        if system.name in names:
            found.append(Entry(system=system, mode="JSON", is_ours=False))
            if streams_peers or system.name == "floor":
                found.append(Entry(system=system, mode="SSE", is_ours=False))
    return found


def _hits(edge_settings: dict[str, str], semantic_entries: Sequence[int]) -> list[Entry]:
    """What the edge answers itself: no upstream is asked."""

    def entry(name: str, served: Route, questions: Questions, *, fill: int = 0, knows: bool = False) -> Entry:
        known = (((POPULAR,), STATIC_REPLY),) if knows else ()
        return Entry(
            system=Edge(settings=edge_settings, name=f"wayside edge, {name}", knows=known),
            mode="JSON",
            is_ours=True,
            questions=questions,
            floor=_CANNED,
            served=served,
            fill=fill,
        )

    return [
        entry("exact hit", "exact", "same"),
        *(
            entry(f"semantic hit of {count:,}", "semantic", "reworded", fill=count)
            for count in semantic_entries
        ),
        entry("local answer", "local", "same", knows=True),
    ]


def measure(plan: Plan, listed: Sequence[Entry]) -> list[Row]:
    """Every entry in every round; who comes first changes from round to round."""
    versions, reasons = _prepare(listed)
    taken: dict[str, list[Measured]] = {entry.name: [] for entry in listed}
    with bar(plan.rounds * len(listed) * plan.size, "req") as shown, static_upstream() as upstream_port:
        for number in range(plan.rounds):
            start = number * len(listed) // plan.rounds
            for entry in (*listed[start:], *listed[:start]):
                if entry.name not in reasons:
                    try:
                        taken[entry.name].append(_once(plan, entry, upstream_port, shown, number))
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


def _once(plan: Plan, entry: Entry, upstream_port: int, shown: Bar, number: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        shown.begin(f"round {number + 1}/{plan.rounds} {entry.name}")
        with started(entry.system, upstream_port=upstream_port, folder=Path(folder)) as system:
            _make_ready(plan, entry, system)
            return _load(plan, entry, system, shown)


def _make_ready(plan: Plan, entry: Entry, system: Running) -> None:
    """Store what is to be stored, and see that answers come from where the row says. Raises DidNotStart."""
    if entry.served is None:
        return

    def send(kind: Questions, requests: int) -> None:
        job = Job(
            port=system.port,
            headers=dict(system.launch.headers),
            model=system.launch.model,
            questions=kind,
            streaming="never",
            connections=plan.concurrency,
            warmup=0,
            requests=requests,
            limit_s=_FILL_LIMIT_S,
        )
        with generator(job, unseen) as driver:
            driver.run(unseen)

    if entry.fill:
        send("short", entry.fill)
    send("same", 1)
    time.sleep(_STORED_WITHIN_S)  # stored behind the answer
    asks = islice(questions(entry.questions, model=system.launch.model, streaming="never", seed=-1), _PROBES)
    served = Counter(route_of(asked_once(system, ask)) for ask in asks)
    if served[entry.served] < _LEAST_SERVED * _PROBES:
        raise DidNotStart(
            f"it should answer as {entry.served}, and of {_PROBES} requests it did {dict(served)}"
        )


def _load(plan: Plan, entry: Entry, system: Running, shown: Bar) -> Measured:
    def job(*, connections: int, warmup: int, requests: int) -> Job:
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
        )

    many = job(connections=plan.concurrency, warmup=plan.warmup, requests=plan.requests)
    with generator(many, shown.reached) as many_driver:
        before_s = system.child.cpu_s()
        crowd = many_driver.run(lambda done: shown.reached(plan.warmup + done))
        cpu_s = system.child.cpu_s() - before_s
    rss_bytes = system.child.rss_bytes()
    with generator(job(connections=1, warmup=20, requests=plan.alone), unseen) as alone_driver:
        alone = alone_driver.run(lambda done: shown.reached(plan.warmup + plan.requests + done))
    # A fault in the warm-up is a fault: it must not vanish because nobody was measuring yet.
    phases = (many_driver.warmup, crowd, alone_driver.warmup, alone)
    return Measured(
        cpu_us=cpu_s / crowd.sent * 1e6,
        p50_ms=percentile(crowd.latencies_us, 0.50) / 1000,
        p99_ms=percentile(crowd.latencies_us, 0.99) / 1000,
        alone_p50_ms=percentile(alone.latencies_us, 0.50) / 1000,
        requests_per_s=crowd.sent / crowd.seconds,
        rss_bytes=rss_bytes,
        generator_share=crowd.generator_cpu_s / crowd.seconds,
        sent=sum(phase.sent for phase in phases),
        faults=dict(sum((Counter(phase.faults) for phase in phases), Counter[str]())),
        described=[fault for phase in phases for fault in phase.described],
    )
