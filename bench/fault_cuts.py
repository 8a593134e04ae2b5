"""Answers cut at random places, many side by side: none may look whole to a client."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from bench.fault_services import Pair, fault_services
from bench.fault_upstream import WORDS

AT_ONCE: Final = 32
_WHOLE: Final = " ".join(WORDS)
_NEVER: Final = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Cuts:
    """What became of the answers."""

    asked: int
    connections: int
    """That were cut: an answer may be tried again, and cut again."""
    spared: int
    """Answers that were not cut once: the request was turned away before."""
    false_successes: int
    """Cut answers that a client could take for whole ones."""
    seconds: float

    @property
    def per_s(self) -> float:
        return self.asked / self.seconds if self.asked else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cut:
    at: int
    falls_back: bool
    streams: bool


def cut(count: int, *, buffered: bool, seed: int, seen: Callable[[int], None]) -> Cuts:
    """`seen` is told how many are done. Breakers stay closed, or they would spare most answers the cut."""
    rng = random.Random(seed)  # noqa: S311
    cuts = [
        _Cut(at=rng.randrange(len(WORDS)), falls_back=rng.random() < 0.5, streams=rng.random() < 0.5)
        for _ in range(count)
    ]
    lanes = min(AT_ONCE, max(1, count))
    with (
        fault_services(lanes, buffered=buffered, breaker_failures=_NEVER) as (ask, pairs),
        ThreadPoolExecutor(lanes) as threads,
    ):
        free: SimpleQueue[Pair] = SimpleQueue()
        for pair in pairs:
            free.put(pair)

        def ends(one: _Cut) -> tuple[bool, int]:
            """Whether it looks whole and is not, and how often it was cut."""
            pair = free.get()
            before = pair.primary.cuts
            try:
                pair.primary.set("random cut", cut_at=one.at)
                pair.backup.set("rejects prefill")
                got = ask(pair.main if one.falls_back else pair.alone, streams=one.streams)
                return got.finished and got.text != _WHOLE, pair.primary.cuts - before
            finally:
                free.put(pair)

        began = time.monotonic()
        wrong = connections = spared = 0
        for done, (is_wrong, times) in enumerate(threads.map(ends, cuts), start=1):
            wrong += is_wrong
            connections += times
            spared += times == 0
            seen(done)
        seconds = time.monotonic() - began
    return Cuts(asked=count, connections=connections, spared=spared, false_successes=wrong, seconds=seconds)
