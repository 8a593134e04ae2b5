"""What clients of edge and cloud see when a provider fails in the sixteen ways that providers fail."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import msgspec

from bench.fault_upstream import CUT_AT, WORDS, FaultUpstream, Kind, fault_upstreams
from bench.stack import Stack, stack
from bench.systems import FORWARDING_ALONE
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
class Seen:
    """What a client got."""

    status: int
    text: str
    finished: bool
    """A finish reason, and for a stream `[DONE]`: the client believes that the answer is whole."""
    error: str | None
    usage: dict[str, int] | None
    seconds: float


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
    cuts: int
    false_successes: int
    """Cut answers that a client could take for whole ones."""
    dead_ms: list[float]
    """Each request at a dead provider once its breaker is open."""
    dead_calls: int

    def count(self, verdict: Verdict) -> int:
        return sum(row.verdict == verdict for row in self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Providers:
    """The cloud's providers file: a primary with a fallback, one without, and the probe."""

    primary: int
    backup: int
    buffered: bool

    def providers(self) -> str:
        def openai(name: str, port: int) -> str:
            return (
                f'[providers.{name}]\nkind = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
                "connect_timeout_s = 1\nfirst_byte_timeout_s = 30\nstall_timeout_s = 1.5\n"
            )

        return "\n".join(
            [
                openai("one", self.primary),
                openai("two", self.backup),
                '[providers.probe]\nkind = "scripted"\nreply = "{text}"\n',
                '[[models]]\nname = "main"\nprovider = "one"\nfallbacks = ["spare"]\ncontext_tokens = 4096',
                f"buffered = {str(self.buffered).lower()}",
                '[[models]]\nname = "spare"\nprovider = "two"\nprefill = true\ncontext_tokens = 128000',
                '[[models]]\nname = "alone"\nprovider = "one"',
                '[[models]]\nname = "probe"\nprovider = "probe"',
            ]
        )


def measure(
    *, buffered: bool, cuts: int, outage: bool, seed: int, seen: Callable[[int], None]
) -> FaultReport:
    """`seen` is told how many faults and cuts are done."""
    rows: list[Row] = []
    with _services(buffered=buffered) as (services, primary, backup):
        ask = _asking(services)
        for fault, first, second in FAULTS:
            # A fresh model name has a breaker of its own only per model, so the primary is let recover.
            _recovered(ask, primary, backup)
            got = []
            for streams in (True, False):
                primary.set(first)
                backup.set(second)
                got.append(ask("main", streams=streams))
                _recovered(ask, primary, backup)
            rows.append(_row(fault, first, second, *got))
            seen(len(rows))
        rows.append(_accounted(ask, primary, backup))
        if outage:
            rows.append(_outage(ask, primary, backup))
        wrong = _cut(ask, primary, backup, cuts=cuts, seed=seed, seen=lambda done: seen(len(rows) + done))
        dead_ms, dead_calls = _dead(ask, primary)
    return FaultReport(rows=rows, cuts=cuts, false_successes=wrong, dead_ms=dead_ms, dead_calls=dead_calls)


@contextmanager
def _services(*, buffered: bool) -> Iterator[tuple[Stack, FaultUpstream, FaultUpstream]]:
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as made,
        fault_upstreams(2) as (primary, backup),
    ):
        providers = _Providers(primary=primary.port, backup=backup.port, buffered=buffered)
        cloud = ("--provider-first-token-s", "2", "--breaker-cool-down-s", "0.5", "--log-requests", "false")
        with stack(
            Path(made), providers, edge_settings=dict(FORWARDING_ALONE), cloud_settings=cloud
        ) as services:
            yield services, primary, backup


Ask = Callable[..., Seen]


def _asking(services: Stack) -> Ask:
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{services.edge.port}",
        headers=dict(services.edge.launch.headers),
        timeout=60,
        trust_env=False,
    )

    def ask(model: str, *, streams: bool) -> Seen:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": f"Say the words. {random.random()}"}],  # noqa: S311
        }
        if streams:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        began = time.perf_counter()
        try:
            answer = client.post("/v1/chat/completions", json=body)
            return _read(answer, streams=streams, seconds=time.perf_counter() - began)
        except httpx.HTTPError as error:
            return Seen(
                status=0, text="", finished=False, error=repr(error), usage=None,
                seconds=time.perf_counter() - began,
            )  # fmt: skip

    return ask


def _read(answer: httpx.Response, *, streams: bool, seconds: float) -> Seen:
    text, error, usage, ends = "", None, None, set()
    if streams and answer.status_code == 200:
        documents = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    else:
        documents = [answer.text]
    for document in documents:
        if document == "[DONE]":
            ends.add("done")
            continue
        told = msgspec.json.decode(document.encode())
        if "error" in told:
            error = str(told["error"].get("code") or told["error"].get("message"))
            continue
        usage = told.get("usage") or usage
        for choice in told["choices"]:
            text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
            if choice.get("finish_reason"):
                ends.add("finish")
    finished = error is None and ends >= ({"done", "finish"} if streams else {"finish"})
    return Seen(
        status=answer.status_code, text=text, finished=finished, error=error, usage=usage, seconds=seconds
    )


def _recovered(ask: Ask, primary: FaultUpstream, backup: FaultUpstream) -> None:
    """Until the primary answers again, so that one fault's breaker does not hide the next fault."""
    primary.set("answers")
    backup.set("answers")
    for _ in range(200):
        ask("main", streams=False)
        if primary.calls:
            return
        time.sleep(0.05)


def _verdict(seen: Seen, primary: Kind, backup: Kind) -> Verdict:
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


def _row(fault: str, primary: Kind, backup: Kind, streamed: Seen, plain: Seen) -> Row:
    order: tuple[Verdict, ...] = ("pass", "safe", "partial", "fail")
    worst = max((_verdict(one, primary, backup) for one in (streamed, plain)), key=order.index)
    return Row(fault=fault, verdict=worst, streamed=_told(streamed), plain=_told(plain))


def _told(seen: Seen) -> str:
    words = f"{len(seen.text.split())} words"
    end = "whole" if seen.finished else f"{seen.status} {seen.error}"
    return f"{words}, {end}, {seen.seconds:.2f} s"


def _accounted(ask: Ask, primary: FaultUpstream, backup: FaultUpstream) -> Row:
    """What a failed-over answer says it cost is what the one who answered counted, once."""
    _recovered(ask, primary, backup)
    primary.set("503 forever")
    backup.set("answers")
    seen = ask("main", streams=True)
    said = sum(backup.tokens_said)
    right = seen.finished and seen.usage is not None and seen.usage["completion_tokens"] == said == len(WORDS)
    return Row(
        fault="failover accounting", verdict="pass" if right else "fail", streamed=_told(seen), plain=""
    )


def _outage(ask: Ask, primary: FaultUpstream, backup: FaultUpstream) -> Row:
    """A minute without the primary: everybody is answered, and it is back in use soon after."""
    _recovered(ask, primary, backup)
    primary.set("503 forever")
    ends = time.monotonic() + OUTAGE_S
    asked = whole = 0
    while time.monotonic() < ends:
        asked += 1
        whole += ask("main", streams=asked % 2 == 0).finished
        time.sleep(0.5)
    probes = primary.calls
    primary.set("answers")
    began = time.monotonic()
    while not primary.calls and time.monotonic() - began < 2 * BACK_WITHIN_S:
        asked += 1
        whole += ask("main", streams=False).finished
        time.sleep(0.2)
    back_s = time.monotonic() - began
    good = whole == asked and back_s <= BACK_WITHIN_S and probes <= MOST_PROBES
    told = f"{whole} of {asked} answered, {probes} calls while it was out, back after {back_s:.1f} s"
    return Row(
        fault="60 s outage, then recovery", verdict="pass" if good else "partial", streamed=told, plain=""
    )


def _cut(
    ask: Ask,
    primary: FaultUpstream,
    backup: FaultUpstream,
    *,
    cuts: int,
    seed: int,
    seen: Callable[[int], None],
) -> int:
    """Answers cut at random places, with no fallback that could go on: none may look whole."""
    rng = random.Random(seed)  # noqa: S311
    wrong = 0
    for number in range(cuts):
        primary.set("random cut", cut_at=rng.randrange(len(WORDS)))
        backup.set("rejects prefill")
        # Two models stand before the same provider, so that an open breaker does not spare the test.
        got = ask(rng.choice(("main", "alone")), streams=rng.random() < 0.5)
        wrong += got.finished and got.text != WHOLE
        if number % 20 == 0:
            _recovered(ask, primary, backup)
        seen(number + 1)
    return wrong


def _dead(ask: Ask, primary: FaultUpstream) -> tuple[list[float], int]:
    """What a request costs at a dead provider whose breaker is open, and how often it is asked."""
    primary.set("reset")
    for _ in range(6):
        ask("alone", streams=False)
    primary.set("reset")
    times = [ask("alone", streams=False).seconds * 1000 for _ in range(12)]
    return times, primary.calls


def render(report: FaultReport, *, buffered: bool) -> str:
    counts = " / ".join(str(report.count(kind)) for kind in ("pass", "partial", "safe", "fail"))
    least = 16 if buffered else 14
    asked = len(report.rows)
    rows = [[row.fault, row.verdict, row.streamed, row.plain] for row in report.rows]
    worst = max(report.dead_ms)
    bars = [
        Bar(
            promise=f">= {least} of 16 faults pass, none partial, none fail",
            measured=f"{report.count('pass')} of {asked} pass, {counts}",
            is_met=report.count("pass") >= min(least, asked)
            and not report.count("fail") + report.count("partial"),
        ),
        Bar(
            promise="a cut answer never looks whole",
            measured=f"{report.false_successes} of {report.cuts} cuts",
            is_met=report.false_successes == 0,
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
            table(["fault", "verdict", "streamed", "plain"], rows),
            "\n".join(bar.line() for bar in bars),
            table(["published", "pass / partial / safe / fail"], [list(one) for one in PUBLISHED]),
        ]
    )


def is_good(report: FaultReport) -> bool:
    return not report.count("fail") and not report.count("partial") and not report.false_successes
