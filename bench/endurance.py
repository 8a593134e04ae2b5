"""`endurance`: what the edge holds in memory after very many requests, a dead upstream and full caches."""

import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.driving import generator, static_upstream
from bench.load import Job, Result
from bench.processes import DidNotStart, free_port
from bench.progress import Bar as Progress
from bench.progress import bar, unseen
from bench.systems import Edge, Running, started
from bench.tables import Bar, counted, megabytes

_DEAD_FROM, _DEAD_TO = 0.25, 0.35
"""Of the requests, while nothing listens upstream."""
_CACHED_SHARE = 0.15
"""The caches hold so many of all requests: they are full well before the half."""
_BYTES_AN_ENTRY = 2048
_RECOVERY_S = 60.0
_MOST_MB = 300.0
_MOST_GROWTH = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Resident bytes after so many requests."""

    done: int
    rss_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Endured:
    requests: int
    sent: int
    cache_entries: int
    sizes: list[Size]
    growth: float
    """Share by which memory grew over the last half."""
    refused_while_dead: int
    faults: dict[str, int]
    """While the upstream was there."""
    requests_per_s: float
    """While the upstream was there."""
    generator_share: float
    """Of one core; near 1 the generator was the limit, not the edge."""


def measure(*, requests: int, concurrency: int) -> Endured:
    entries = max(100, int(requests * _CACHED_SHARE))
    settings = {
        "semantic_entries_per_tenant": str(entries),
        "exact_cache_max_bytes": str(entries * _BYTES_AN_ENTRY),
    }
    port = free_port()
    dead_from, dead_to = int(requests * _DEAD_FROM), int(requests * _DEAD_TO)
    sizes: list[Size] = []
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as made,
        bar(requests, "req") as shown,
        ExitStack() as upstream,
    ):
        upstream.enter_context(static_upstream(port))
        with started(Edge(settings=settings), upstream_port=port, folder=Path(made)) as edge:

            def phase(name: str, before: int, count: int) -> Result:
                shown.begin(name)
                return _phase(edge, before, count, concurrency, sizes, shown)

            full = phase("filling the caches", 0, dead_from)
            upstream.close()
            dead = phase("dead upstream", dead_from, dead_to - dead_from)
            upstream.enter_context(static_upstream(port))
            _settle(edge)
            alive = phase("alive again", dead_to, requests - dead_to)
    faults = Counter(full.faults)
    faults.update(alive.faults)
    seconds = full.seconds + alive.seconds
    return Endured(
        requests=requests,
        sent=full.sent + dead.sent + alive.sent,
        cache_entries=entries,
        sizes=sizes,
        growth=growth_of(sizes, requests),
        refused_while_dead=sum(dead.faults.values()),
        faults=dict(faults),
        requests_per_s=(full.sent + alive.sent) / seconds,
        generator_share=(full.generator_cpu_s + alive.generator_cpu_s) / seconds,
    )


def _phase(
    edge: Running, before: int, count: int, concurrency: int, sizes: list[Size], shown: Progress
) -> Result:
    def note(done: int) -> None:
        shown.reached(done)
        sizes.append(Size(done=before + done, rss_bytes=edge.child.rss_bytes()))

    with generator(_job(edge, count, concurrency, seed=before), unseen) as driver:
        result = driver.run(note)
    shown.end(count)
    return result


def _settle(edge: Running) -> None:
    """Until the breaker has noticed that the upstream is back; these requests are not counted."""
    deadline = time.monotonic() + _RECOVERY_S
    while time.monotonic() < deadline:
        with generator(_job(edge, 1, 1, seed=-1), unseen) as driver:
            if not driver.run(unseen).faults:
                return
        time.sleep(0.5)
    raise DidNotStart(f"the edge did not notice in {_RECOVERY_S:g} s that its upstream is back")


def _job(edge: Running, requests: int, concurrency: int, *, seed: int) -> Job:
    return Job(
        port=edge.port,
        headers=dict(edge.launch.headers),
        model=edge.launch.model,
        questions="short",
        streaming="half",
        connections=concurrency,
        warmup=0,
        requests=requests,
        seed=seed,
        limit_s=3600.0,
    )


def growth_of(sizes: list[Size], requests: int) -> float:
    """Of the median over the last twentieth against the one over the twentieth after the half."""
    start = [size.rss_bytes for size in sizes if 0.50 <= size.done / requests <= 0.55]
    end = [size.rss_bytes for size in sizes if size.done / requests >= 0.95]
    return median(end) / median(start) - 1 if start and end else float("nan")


def bars_of(endured: Endured) -> list[Bar]:
    most_mb = megabytes(max(size.rss_bytes for size in endured.sizes))
    failed = sum(endured.faults.values())
    return [
        Bar(
            promise=f"below {_MOST_MB:g} MB after {endured.requests:,} requests",
            measured=f"at most {most_mb:.0f} MB",
            is_met=most_mb < _MOST_MB,
        ),
        Bar(
            promise=f"grows less than {_MOST_GROWTH:.0%} over the last half",
            measured=f"{endured.growth:+.2%}",
            is_met=endured.growth < _MOST_GROWTH,
        ),
        Bar(
            promise="no answer fails while the upstream is there",
            measured=f"{failed} of {endured.sent:,}",
            is_met=failed == 0,
        ),
    ]


def render(endured: Endured) -> str:
    points = [endured.sizes[at * (len(endured.sizes) - 1) // 8] for at in range(9)]
    lines = [
        f"## endurance: {endured.requests:,} requests nobody asked before, half of them streamed; caches of "
        f"{endured.cache_entries:,} entries; no upstream from {_DEAD_FROM:.0%} to {_DEAD_TO:.0%}",
        "",
        "- resident MB by requests: "
        + ", ".join(f"{point.done:,}: {megabytes(point.rss_bytes):.0f}" for point in points),
        f"- {endured.requests_per_s:,.0f} requests a second, for which the generator took "
        f"{endured.generator_share:.0%} of a core",
        f"- refused while the upstream was dead: {endured.refused_while_dead:,}",
        f"- failed while it was there: {counted(endured.faults)}",
        "",
        "Bars:",
        *(one.line() for one in bars_of(endured)),
    ]
    return "\n".join(lines)
