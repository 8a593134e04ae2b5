"""The table of `overhead`: ratios against the floor of the same round, bars, everything that failed."""

from collections import Counter
from collections.abc import Sequence

from bench.figures import Spread, spread
from bench.overhead import Measured, Plan, Row
from bench.overhead_rows import Mode
from bench.tables import Bar, counted, described, megabytes, table

_MOST_CPU_US = 450.0
_MOST_HIT_US, _MOST_HIT_MS = 120.0, 0.4
_MOST_DECIDING_US = 2500.0
_MOST_SEMANTIC_MS = (4, 15)
_HEADER = (
    "system",
    "CPU us/request",
    "ratio to floor",
    "p50 ms",
    "p99 ms",
    "p50 ms, 1 in flight",
    "p99 ms, 1 in flight",
    "max requests/s",
    "RSS MB",
    "sent",
    "failed",
)
_GENERATOR_IS_THE_LIMIT = 0.9


def render(plan: Plan, rows: Sequence[Row]) -> str:
    parts = [
        f"## overhead: {plan.requests} requests a round, {plan.concurrency} in flight, {plan.warmup} to warm "
        f"up, {plan.rounds} rounds in rotation; median (least-most)",
        table(_HEADER, [_cells(row, rows, plan) for row in rows]),
        "\n".join(_versions(rows)),
    ]
    if bars := bars_of(rows):
        parts.append("\n".join(["Bars:", *(bar.line() for bar in bars)]))
    faults = [line for row in rows for line in _faults(row)]
    if faults:
        parts.append("\n".join(["Failed:", *faults]))
    return "\n\n".join(parts)


def ours_failed(rows: Sequence[Row]) -> bool:
    """Ours could not be run, or lost, halved or garbled one answer."""
    return any(
        row.is_ours and (row.reason is not None or any(taken.faults for taken in row.rounds)) for row in rows
    )


def ratio_to_floor(row: Row, rows: Sequence[Row]) -> Spread | None:
    """CPU against the floor's in the same mode and round: what the machine did to one it did to both."""
    floor = _row(rows, row.floor, row.mode)
    if floor is None or len(floor.rounds) != len(row.rounds) or not row.rounds:
        return None
    return spread([taken.cpu_us / base.cpu_us for taken, base in zip(row.rounds, floor.rounds, strict=True)])


def bars_of(rows: Sequence[Row]) -> list[Bar]:
    """The promises of the foundation that this run can check."""
    ours = _row(rows, "wayside edge", "JSON")
    if ours is None or not ours.rounds:
        return []
    cost = _cpu(ours)
    bars = [
        Bar(
            promise=f"forwarding costs at most {_MOST_CPU_US:.0f} us of CPU",
            measured=f"{cost.median:.0f} us",
            is_met=cost.median <= _MOST_CPU_US,
        )
    ]
    hit = _row(rows, "wayside edge, exact hit", "JSON")
    if hit is not None and hit.rounds:
        alone = spread([taken.alone_p50_ms for taken in hit.rounds]).median
        bars.append(
            Bar(
                promise=f"an exact hit costs at most {_MOST_HIT_US:.0f} us of CPU, p50 {_MOST_HIT_MS} ms",
                measured=f"{_cpu(hit).median:.0f} us, {alone:.2f} ms",
                is_met=_cpu(hit).median <= _MOST_HIT_US and alone <= _MOST_HIT_MS,
            )
        )
    deciding = _row(rows, "wayside edge, deciding", "JSON")
    if deciding is not None and deciding.rounds:
        peer = _row(rows, "litellm", "JSON")
        ratio = ""
        if peer is not None and peer.rounds:
            ratio = f", {_cpu(deciding).median / _cpu(peer).median:.2f} of LiteLLM's"
        bars.append(
            Bar(
                promise=f"forwarding with the decision costs at most {_MOST_DECIDING_US:,.0f} us of CPU",
                measured=f"{_cpu(deciding).median:,.0f} us{ratio}",
                is_met=_cpu(deciding).median <= _MOST_DECIDING_US,
            )
        )
    largest = next((row for row in rows if "semantic hit of 100,000" in row.name and row.rounds), None)
    if largest is not None:
        p50 = spread([taken.alone_p50_ms for taken in largest.rounds]).median
        p99 = spread([taken.alone_p99_ms for taken in largest.rounds]).median
        crowd = spread([taken.p99_ms for taken in largest.rounds]).median
        bars.append(
            Bar(
                promise="a semantic hit among 100,000 takes 4 ms, p99 15 ms",
                measured=f"{p50:.1f} ms, p99 {p99:.1f} ms; in the crowd p99 {crowd:.1f} ms",
                is_met=p50 <= _MOST_SEMANTIC_MS[0] and p99 <= _MOST_SEMANTIC_MS[1],
            )
        )
    portkey = _row(rows, "portkey", "JSON")
    if portkey is not None and portkey.rounds:
        cheapest = _cpu(portkey)
        bars.append(
            Bar(
                promise="forwarding costs less CPU than Portkey in this run",
                measured=f"{cost.median:.0f} us against {cheapest.median:.0f} us",
                is_met=cost.median < cheapest.median,
            )
        )
    failed = sum(sum(taken.faults.values()) for row in rows if row.is_ours for taken in row.rounds)
    sent = sum(taken.sent for row in rows if row.is_ours for taken in row.rounds)
    bars.append(Bar(promise="no answer of ours fails", measured=f"{failed} of {sent:,}", is_met=failed == 0))
    return bars


def _cells(row: Row, rows: Sequence[Row], plan: Plan) -> tuple[str, ...]:
    if not row.rounds:
        return (row.name, "not run", *[""] * (len(_HEADER) - 2))
    ratio = ratio_to_floor(row, rows)
    rate = max(taken.requests_per_s for taken in row.rounds)
    limited = any(taken.generator_share > _GENERATOR_IS_THE_LIMIT for taken in row.rounds)
    return (
        row.name,
        _cpu(row).show(),
        ratio.show(2) if ratio else "",
        spread([taken.p50_ms for taken in row.rounds]).show(2),
        spread([taken.p99_ms for taken in row.rounds]).show(2),
        spread([taken.alone_p50_ms for taken in row.rounds]).show(2),
        spread([taken.alone_p99_ms for taken in row.rounds]).show(2),
        f"{'>= ' if limited else ''}{rate:,.0f}",
        f"{megabytes(max(taken.rss_bytes for taken in row.rounds)):.0f}",
        f"{sum(taken.sent for taken in row.rounds):,}",
        counted(_summed(row.rounds)),
    )


def _versions(rows: Sequence[Row]) -> list[str]:
    versions = {row.name.rpartition(" (")[0]: row.version for row in rows if row.version}
    return ["Versions: " + "; ".join(f"{name} {version}" for name, version in versions.items())]


def _faults(row: Row) -> list[str]:
    lines = [f"- {row.name}: {row.reason}"] if row.reason is not None else []
    for taken in row.rounds:
        lines += described(row.name, taken.described)
    return lines


def _summed(rounds: Sequence[Measured]) -> Counter[str]:
    total: Counter[str] = Counter()
    for taken in rounds:
        total.update(taken.faults)
    return total


def _cpu(row: Row) -> Spread:
    return spread([taken.cpu_us for taken in row.rounds])


def _row(rows: Sequence[Row], system: str, mode: Mode) -> Row | None:
    return next((row for row in rows if row.name == f"{system} ({mode})"), None)
