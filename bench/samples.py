"""What one run of a load found, request by request, and what is read out of it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.figures import percentile
from bench.truth import Route


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One request that is over."""

    at_s: float
    """When it was meant to be sent, since the start of the run."""
    late_ms: float
    """How much later it was sent, since the generator or its connections were busy. In both latencies."""
    first_ms: float
    """From when it was meant to be sent to the first text of the answer."""
    last_ms: float
    """From when it was meant to be sent to the answer's end."""
    route: Route
    status: int = 200
    fault: str | None = None
    """`lost`, `refused`, `half` or `wrong`."""
    detail: str = ""
    edge_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    ticket: int = 0
    turn: int = 0


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """All requests of a run."""

    workload: str
    arrivals: str
    """`open` or `closed`."""
    rate: float
    """Tickets a second of an open loop, users of a closed one."""
    seed: int
    seconds: float
    samples: list[Sample]
    unsent: int = 0
    """Requests whose time came, and that were not over when the run was given up."""


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds."""

    p50: float
    p90: float
    p99: float
    most: float


class RouteFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that one way of answering took."""

    route: str
    count: int
    share: float
    first: Latency
    last: Latency
    edge: Latency


def read(path: Path) -> Samples:
    return msgspec.json.decode(path.read_bytes(), type=Samples)


def latency(values: Sequence[float]) -> Latency:
    return Latency(
        p50=percentile(values, 0.50),
        p90=percentile(values, 0.90),
        p99=percentile(values, 0.99),
        most=max(values),
    )


def by_route(samples: Sequence[Sample]) -> list[RouteFigures]:
    """All together, then each way that was taken, the fastest kinds first. Failed requests are not in it."""
    good = [one for one in samples if one.fault is None]
    found = []
    for route in ("all", "exact", "semantic", "local", "forward"):
        own = [one for one in good if route in ("all", one.route)]
        if own:
            found.append(
                RouteFigures(
                    route=route,
                    count=len(own),
                    share=len(own) / len(good),
                    first=latency([one.first_ms for one in own]),
                    last=latency([one.last_ms for one in own]),
                    edge=latency([one.edge_ms for one in own]),
                )
            )
    return found


def faults(samples: Sequence[Sample]) -> dict[str, int]:
    return dict(Counter(one.fault for one in samples if one.fault is not None))


def details(samples: Sequence[Sample], *, most: int = 10) -> list[str]:
    """The commonest faults in words."""
    counts = Counter((one.fault, one.detail) for one in samples if one.fault is not None)
    return [f"- {count} x {fault}: {detail}" for (fault, detail), count in counts.most_common(most)]
