"""What clients of edge and cloud see when a provider fails in the sixteen ways that providers fail."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from bench.fault_cuts import Cuts, cut
from bench.fault_services import Ask, Pair, Seen, fault_services
from bench.fault_upstream import CUT_AT, WORDS, Kind
from bench.tables import Bar, table

Verdict = Literal["pass", "partial", "safe", "fail"]

WHOLE: Final = " ".join(WORDS)
OUTAGE_S: Final = 60.0
BACK_WITHIN_S: Final = 30.0
MOST_PROBES: Final = 12
PUBLISHED: Final = (
    ("best published product", "12 / 3 / 1 / 0"), ("Portkey", "11 / 2 / 0 / 3"), ("Bifrost", "9 / 3 / 3 / 1"),
    ("LiteLLM", "9 / 3 / 4 / 0"),
)  # fmt: skip
FAULTS: Final[tuple[tuple[str, Kind, Kind], ...]] = (
    ("429 with Retry-After once", "429 once", "answers"),
    ("429 forever", "429 forever", "answers"),
    ("500 once", "500 once", "answers"),
    ("503 forever", "503 forever", "answers"),
    ("TCP reset", "reset", "answers"),
    ("silence", "silence", "answers"),
    ("first token after 20 s", "late", "answers"),
    (f"stream cut at {CUT_AT} of {len(WORDS)} tokens", "cut", "answers"),
    ("stall in mid stream", "stall", "answers"),
    ("malformed SSE chunk", "malformed", "answers"),
    ("stream with no [DONE]", "no done", "answers"),
    ("context-length 400", "context length", "answers"),
    ("content-filter 400", "content filter", "answers"),
    ("cut, and a fallback that rejects a prefill", "cut", "rejects prefill"),
)
"""What the primary does, and what the fallback does; the outage and the accounting come on top."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    fault: str
    verdict: Verdict
    streamed: str
    plain: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultReport:
    """Everything `bench faults` found."""

    rows: list[Row]
    seconds: float
    """All faults together, side by side."""
    cuts: Cuts
    dead_ms: list[float]
    """Each request at a dead provider once its breaker is open."""
    dead_calls: int

    def count(self, verdict: Verdict) -> int:
        return sum(row.verdict == verdict for row in self.rows)


def measure(
    *, buffered: bool, cuts: int, outage: bool, seed: int, seen: Callable[[int], None]
) -> FaultReport:
    """`seen` is told how many faults and cuts are done."""
    # A fault's streamed and plain answer have a pair of providers each, and so have the other rows.
    with fault_services(2 * len(FAULTS) + 3, buffered=buffered) as (ask, pairs):
        *of_faults, accounted, out, dead = pairs
        dead_ms, dead_calls = _dead(ask, dead)
        work: list[Callable[[], Row]] = [
            partial(_row, ask, fault, of_faults[2 * place : 2 * place + 2])
            for place, fault in enumerate(FAULTS)
        ]
        work.append(partial(_accounted, ask, accounted))
        if outage:
            work.append(partial(_outage, ask, out))
        began = time.monotonic()
        with ThreadPoolExecutor(2 * len(work)) as threads:
            rows: list[Future[Row]] = [threads.submit(one) for one in work]
            for done, _ in enumerate(as_completed(rows), start=1):
                seen(done)
        seconds = time.monotonic() - began
    told = cut(cuts, buffered=buffered, seed=seed, seen=lambda done: seen(len(rows) + done))
    return FaultReport(
        rows=[row.result() for row in rows],
        seconds=seconds,
        cuts=told,
        dead_ms=dead_ms,
        dead_calls=dead_calls,
    )


def verdict(seen: Seen, primary: Kind, backup: Kind) -> Verdict:
    if seen.finished and seen.text != WHOLE:
        return "fail"  # half an answer told as a whole one
    if seen.finished:
        return "pass"
    if seen.error is None and seen.status == 200:
        return "fail"  # it just ends
    refused_rightly = primary == "content filter" and seen.status == 400 and seen.error == "content_filter"
    # Nobody can finish what a fallback will not take up: a clear error is all there is to give.
    ends_rightly = backup == "rejects prefill" and seen.error is not None
    if refused_rightly or ends_rightly:
        return "pass"
    return "partial" if seen.text else "safe"


def _row(ask: Ask, fault: tuple[str, Kind, Kind], pairs: list[Pair]) -> Row:
    name, first, second = fault
    for pair in pairs:
        pair.primary.set(first)
        pair.backup.set(second)
    with ThreadPoolExecutor(2) as threads:
        asked = [
            threads.submit(ask, pair.main, streams=streams)
            for pair, streams in zip(pairs, (True, False), strict=True)
        ]
        streamed, plain = (one.result() for one in asked)
    order: tuple[Verdict, ...] = ("pass", "safe", "partial", "fail")
    worst = max((verdict(one, first, second) for one in (streamed, plain)), key=order.index)
    return Row(fault=name, verdict=worst, streamed=_told(streamed), plain=_told(plain))


def _told(seen: Seen) -> str:
    words = f"{len(seen.text.split())} words"
    end = "whole" if seen.finished else f"{seen.status} {seen.error}"
    return f"{words}, {end}, {seen.seconds:.2f} s"


def _accounted(ask: Ask, pair: Pair) -> Row:
    """What a failed-over answer says it cost is what the one who answered counted, once."""
    pair.primary.set("503 forever")
    seen = ask(pair.main, streams=True)
    said = sum(pair.backup.tokens_said)
    right = seen.finished and seen.usage is not None and seen.usage["completion_tokens"] == said == len(WORDS)
    return Row(
        fault="failover accounting", verdict="pass" if right else "fail", streamed=_told(seen), plain=""
    )


def _outage(ask: Ask, pair: Pair) -> Row:
    """A minute without the primary: everybody is answered, and it is back in use soon after."""
    pair.primary.set("503 forever")
    ends = time.monotonic() + OUTAGE_S
    asked = whole = 0
    while time.monotonic() < ends:
        asked += 1
        whole += ask(pair.main, streams=asked % 2 == 0).finished
        time.sleep(0.5)
    probes = pair.primary.calls
    pair.primary.set("answers")
    began = time.monotonic()
    while not pair.primary.calls and time.monotonic() - began < 2 * BACK_WITHIN_S:
        asked += 1
        whole += ask(pair.main, streams=False).finished
        time.sleep(0.2)
    back_s = time.monotonic() - began
    good = whole == asked and back_s <= BACK_WITHIN_S and probes <= MOST_PROBES
    told = f"{whole} of {asked} answered, {probes} calls while it was out, back after {back_s:.1f} s"
    return Row(
        fault="60 s outage, then recovery", verdict="pass" if good else "partial", streamed=told, plain=""
    )


def _dead(ask: Ask, pair: Pair) -> tuple[list[float], int]:
    """What a request costs at a dead provider whose breaker is open, and how often it is asked."""
    pair.primary.set("reset")
    for _ in range(6):
        ask(pair.alone, streams=False)
    pair.primary.set("reset")
    times = [ask(pair.alone, streams=False).seconds * 1000 for _ in range(12)]
    return times, pair.primary.calls


def render(report: FaultReport, *, buffered: bool) -> str:
    counts = " / ".join(str(report.count(kind)) for kind in ("pass", "partial", "safe", "fail"))
    least = 16 if buffered else 14
    asked = len(report.rows)
    rows = [[row.fault, row.verdict, row.streamed, row.plain] for row in report.rows]
    worst = max(report.dead_ms)
    cuts = report.cuts
    bars = [
        Bar(
            promise=f">= {least} of 16 faults pass, none partial, none fail",
            measured=f"{report.count('pass')} of {asked} pass, {counts}",
            is_met=report.count("pass") >= min(least, asked)
            and not report.count("fail") + report.count("partial"),
        ),
        Bar(
            promise="a cut answer never looks whole",
            measured=f"{cuts.false_successes} of {cuts.asked:,} answers, {cuts.connections:,} times cut, "
            f"{cuts.spared:,} spared, {cuts.per_s:.0f} a second",
            is_met=cuts.false_successes == 0,
        ),
        Bar(
            promise="a request at a dead provider, breaker open: < 20 ms, no call",
            measured=f"{worst:.1f} ms at most, {report.dead_calls} calls in {len(report.dead_ms)} requests",
            is_met=worst < 20 and report.dead_calls <= 1,
        ),
    ]
    title = "with whole answers held back" if buffered else "streams relayed as they come"
    return "\n\n".join(
        [
            f"## faults: through edge and cloud, a primary and a fallback, {title}",
            f"All faults side by side, {report.seconds:.0f} s in all.",
            table(["fault", "verdict", "streamed", "plain"], rows),
            "\n".join(bar.line() for bar in bars),
            table(["published", "pass / partial / safe / fail"], [list(one) for one in PUBLISHED]),
        ]
    )


def is_good(report: FaultReport) -> bool:
    return not report.count("fail") and not report.count("partial") and not report.cuts.false_successes
